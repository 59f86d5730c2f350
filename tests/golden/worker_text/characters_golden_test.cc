// Every code point, as the `tokenizers` library classes and normalises it.
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "common/digest.h"
#include "gtest/gtest.h"
#include "tests/golden/worker_text/golden_files.h"
#include "worker/data/text/library_unicode.h"
#include "worker/data/text/normalizer.h"
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
    if (!golden.is_array() || absl::StrContains(name, ' ') || name == "punctuation") continue;
    EXPECT_EQ(DigestOfPattern(name == "numeric" ? std::string(kNumericPattern) : name), golden) << name;
  }
}

TEST(CharactersGoldenTest, NeighboursOfAddedTokensCountAsWordsAndSpaceAlike) {
  const json golden = GoldenJson("characters.golden.json");
  EXPECT_EQ(DigestOf(IsWordCharacter), golden.at("word next to an added token"));
  EXPECT_EQ(DigestOf(IsWhiteSpace), golden.at("space next to an added token"));
}

std::string Normalized(NormalizerStep step, absl::string_view text) {
  std::vector<NormalizerStep> steps;
  steps.push_back(std::move(step));
  AlignedText aligned(text, 0);
  CpuBudget budget(absl::Minutes(2));
  VN_CHECK_OK(Normalizer(std::move(steps)).Apply(aligned, budget));
  return std::string(aligned.text());
}

TEST(CharactersGoldenTest, PunctuationIsTheSame) {
  EXPECT_EQ(DigestOf(IsPunctuation), GoldenJson("characters.golden.json").at("punctuation"));
}

// `form` with every code point in the place of "{}".
std::string TextOf(absl::string_view form) {
  std::string text;
  ForEachCodePoint([&](char32_t c) { absl::StrAppend(&text, absl::StrReplaceAll(form, {{"{}", Utf8(c)}})); });
  return text;
}

TEST(CharactersGoldenTest, NormalFormsOfEveryCodePointAreTheSame) {
  const json golden = GoldenJson("characters.golden.json");
  const std::pair<std::string, UnicodeForm> forms[] = {{"nfc", UnicodeForm::kNfc},
                                                       {"nfd", UnicodeForm::kNfd},
                                                       {"nfkc", UnicodeForm::kNfkc},
                                                       {"nfkd", UnicodeForm::kNfkd}};
  const std::pair<std::string, std::string> texts[] = {{"", TextOf("a{}\n")},
                                                       {" marks", TextOf("a\u0345{}\u0334\u0301\n")},
                                                       {" starter", TextOf("{}\u0345\u0327\u093c\n")}};
  for (const auto& [form, step] : forms) {
    for (const auto& [name, text] : texts) {
      EXPECT_EQ(Sha256Hex(Normalized(step, text)), golden.at(form + name).get<std::string>()) << form << name;
    }
  }
}

TEST(CharactersGoldenTest, OtherNormalizersDoTheSameToEveryCodePoint) {
  const json golden = GoldenJson("characters.golden.json");
  const auto bert = [](bool clean, bool chinese, bool accents) {
    return BertStep{
        .clean_text = clean, .handle_chinese_chars = chinese, .strip_accents = accents, .lowercase = false};
  };
  std::vector<std::pair<std::string, NormalizerStep>> steps;
  steps.emplace_back("lowercase", LowercaseStep{});
  steps.emplace_back("strip accents", StripAccentsStep{});
  steps.emplace_back("nmt", NmtStep{});
  steps.emplace_back("bert clean", bert(true, false, false));
  steps.emplace_back("bert chinese", bert(false, true, false));
  steps.emplace_back("bert accents", bert(false, false, true));
  steps.emplace_back("bert", BertStep{});
  const std::string text = TextOf("a{}b\n");
  for (auto& [name, step] : steps) {
    EXPECT_EQ(Sha256Hex(Normalized(std::move(step), text)), golden.at(name).get<std::string>()) << name;
  }
}

}  // namespace
}  // namespace vernier::data
