// SentencePiece BPE, Unigram, WordPiece and WordLevel tokenizers, and byte-level ones with other normalizers
// and splits: ids, offsets and decoded texts against the `tokenizers` library.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/golden/worker_text/golden_files.h"
#include "worker/data/text/decode_stream.h"
#include "worker/data/text/tokenizer.h"

namespace vernier::data {
namespace {

using nlohmann::json;
using Ids = std::vector<int32_t>;

// The base tokenizer with the parts of `variant` in the place of its own.
std::unique_ptr<Tokenizer> Make(const json& variant) {
  json file = GoldenJson(variant.at("base").get<std::string>() + ".tokenizer.json");
  for (const auto& [key, value] : variant.at("patch").items()) {
    if (key == "model") {
      file["model"].update(value);
    } else {
      file[key] = value;
    }
  }
  auto created = Tokenizer::Create(file.dump(), "");
  EXPECT_TRUE(created.ok()) << created.status();
  return created.ok() ? *std::move(created) : nullptr;
}

std::string Streamed(const Tokenizer& tokenizer, const Ids& ids, bool skip_special) {
  DecodeStream stream(tokenizer, skip_special);
  std::string text;
  for (const int32_t id : ids) text += stream.Push(id);
  return text + stream.Finish();
}

// Where the character that byte `at` belongs to begins: the library counts in characters.
size_t CharacterAt(absl::string_view text, size_t at) {
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

TEST(VariantsGoldenTest, GiveTheLibrarysIdsOffsetsAndTexts) {
  const json golden = GoldenJson("variants.golden.json");
  ASSERT_GE(golden.at("cases").size(), 20u);
  for (const json& variant : golden.at("cases")) {
    const std::unique_ptr<Tokenizer> tokenizer = Make(variant);
    ASSERT_NE(tokenizer, nullptr) << variant.at("name");
    for (size_t i = 0; i < golden.at("texts").size(); ++i) {
      const std::string text = golden["texts"][i].get<std::string>();
      const json& wanted = variant.at("cases")[i];
      SCOPED_TRACE(absl::StrCat(variant.at("name").get<std::string>(), ", text ", i, ": ", text));
      const absl::StatusOr<TokenizedText> got = tokenizer->Encode(text);
      ASSERT_TRUE(got.ok()) << got.status();
      EXPECT_EQ(got->ids, wanted[0].get<Ids>());
      std::vector<size_t> begins;
      for (const size_t begin : got->begins) begins.push_back(CharacterAt(text, begin));
      EXPECT_EQ(begins, wanted[1].get<std::vector<size_t>>());
      EXPECT_TRUE(std::is_sorted(got->begins.begin(), got->begins.end()));
      const std::string decoded = wanted[2].is_null() ? text : wanted[2].get<std::string>();
      EXPECT_EQ(DecodeText(*tokenizer, got->ids, false), decoded);
      EXPECT_EQ(Streamed(*tokenizer, got->ids, false), decoded);
    }
    for (const json& one : variant.at("decodes")) {
      const Ids ids = one[0].get<Ids>();
      SCOPED_TRACE(absl::StrCat(variant.at("name").get<std::string>(), " decodes ", one[0].dump()));
      for (const bool skip : {false, true}) {
        EXPECT_EQ(DecodeText(*tokenizer, ids, skip), one[skip ? 2 : 1].get<std::string>());
        EXPECT_EQ(Streamed(*tokenizer, ids, skip), one[skip ? 2 : 1].get<std::string>());
      }
    }
  }
}

}  // namespace
}  // namespace vernier::data
