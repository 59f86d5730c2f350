// Every code point, as the `tokenizers` library classes and normalises it.
#include <functional>
#include <string>

#include "absl/strings/str_replace.h"
#include "common/digest.h"
#include "gtest/gtest.h"
#include "tests/golden/worker_text/golden_files.h"
#include "worker/data/text/library_unicode.h"
#include "worker/data/text/nfc.h"
#include "worker/data/text/pre_tokenizer.h"
#include "worker/data/text/split_pattern.h"
#include "worker/data/text/utf8.h"

namespace vernier::data {
namespace {

using nlohmann::json;

void ForEachCodePoint(const std::function<void(char32_t)>& visit) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c < 0xD800 || c > 0xDFFF) visit(c);
  }
}

std::string Utf8(char32_t c) {
  std::string text;
  AppendCharacter(c, &text);
  return text;
}

// The golden's [count, digest] of the code points that `holds`.
json DigestOf(const std::function<bool(char32_t)>& holds) {
  int64_t count = 0;
  std::string list;
  ForEachCodePoint([&](char32_t c) {
    if (!holds(c)) return;
    absl::StrAppend(&list, count++ == 0 ? "" : " ", static_cast<uint32_t>(c));
  });
  return {count, Sha256Hex(list)};
}

json DigestOfPattern(absl::string_view pattern) {
  const absl::StatusOr<SplitPattern> split = SplitPattern::Regex(pattern);
  VN_CHECK_OK(split.status());
  std::string buffer;
  std::string all;
  ForEachCodePoint([&](char32_t c) { AppendCharacter(c, &all); });
  const absl::string_view text = WithStandIns(all, &buffer);
  CpuBudget budget(absl::Minutes(2));
  std::vector<bool> found(0x110000);
  VN_CHECK_OK(split->FindAll(text, budget, [&](size_t begin, size_t end) {
    while (begin < end) {
      size_t size = 0;
      found[DecodeCharacter(all, begin, &size)] = true;
      begin += size;
    }
  }));
  return DigestOf([&](char32_t c) { return found[c]; });
}

TEST(CharactersGoldenTest, ClassesHoldTheSameCodePoints) {
  const json classes = GoldenJson("characters.golden.json");
  for (const auto& [name, golden] : classes.items()) {
    if (!golden.is_array() || absl::string_view(name).find(' ') != absl::string_view::npos) continue;
    EXPECT_EQ(DigestOfPattern(name == "numeric" ? std::string(kNumericPattern) : name), golden) << name;
  }
}

TEST(CharactersGoldenTest, NeighboursOfAddedTokensCountAsWordsAndSpaceAlike) {
  const json golden = GoldenJson("characters.golden.json");
  EXPECT_EQ(DigestOf(IsWordCharacter), golden.at("word next to an added token"));
  EXPECT_EQ(DigestOf(IsWhiteSpace), golden.at("space next to an added token"));
}

TEST(CharactersGoldenTest, FormCOfEveryCodePointIsTheSame) {
  const json golden = GoldenJson("characters.golden.json");
  const std::vector<std::pair<std::string, std::string>> forms = {
      {"nfc", "a{}\n"}, {"nfc marks", "a\u0345{}\u0334\u0301\n"}, {"nfc starter", "{}\u0345\u0327\u093c\n"}};
  for (const auto& [name, form] : forms) {
    std::string text;
    ForEachCodePoint([&text, &pattern = form](char32_t c) {
      absl::StrAppend(&text, absl::StrReplaceAll(pattern, {{"{}", Utf8(c)}}));
    });
    EXPECT_EQ(Sha256Hex(Nfc(text).text), golden.at(name).get<std::string>()) << name;
  }
}

}  // namespace
}  // namespace vernier::data
