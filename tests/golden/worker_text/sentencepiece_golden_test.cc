// tokenizer.model files and what GGUF files make of them, against the sentencepiece library and
// `transformers`.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "storage/gguf.h"
#include "tests/golden/worker_text/golden_files.h"
#include "worker/data/text/decode_stream.h"
#include "worker/data/text/gguf_tokenizer.h"
#include "worker/data/text/sentencepiece_model.h"
#include "worker/data/text/tokenizer.h"

namespace vernier::data {
namespace {

using nlohmann::json;
using Ids = std::vector<int32_t>;

std::unique_ptr<Tokenizer> Make(const absl::StatusOr<std::string>& tokenizer_json) {
  EXPECT_TRUE(tokenizer_json.ok()) << tokenizer_json.status();
  if (!tokenizer_json.ok()) return nullptr;
  auto created = Tokenizer::Create(*tokenizer_json, "");
  EXPECT_TRUE(created.ok()) << created.status();
  return created.ok() ? *std::move(created) : nullptr;
}

std::unique_ptr<Tokenizer> FromModel(absl::string_view name, absl::string_view config) {
  return Make(TokenizerJsonFromSentencePiece(GoldenText(absl::StrCat(name, ".model")), config));
}

// `skip` names texts that the two cannot read alike.
void ExpectSentencePiecesIds(const Tokenizer& tokenizer, const std::string& name,
                             const std::function<bool(const std::string&)>& skip) {
  const json golden = GoldenJson("sentencepiece.golden.json");
  size_t compared = 0;
  for (size_t i = 0; i < golden.at("texts").size(); ++i) {
    const std::string text = golden["texts"][i].get<std::string>();
    if (golden.at(name)[i].is_null() || skip(text)) continue;
    SCOPED_TRACE(absl::StrCat(name, ", text ", i, ": ", text));
    const absl::StatusOr<TokenizedText> got = tokenizer.Encode(text);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->ids, golden[name][i].get<Ids>());
    // sentencepiece decodes unknown pieces to a mark of its own.
    const std::string decoded = golden[name + " decoded"][i].get<std::string>();
    if (!absl::StrContains(decoded, "\u2047")) {
      EXPECT_EQ(DecodeText(tokenizer, got->ids, /*skip_special=*/false), decoded);
    }
    ++compared;
  }
  EXPECT_GE(compared, 80u);
}

TEST(SentencePieceGoldenTest, LegacyBpeGivesTheIdsOfSentencePiece) {
  const auto tokenizer = FromModel("pieces", R"({"legacy": true})");
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->bos_id(), 1);
  ExpectSentencePiecesIds(*tokenizer, "pieces", [](const std::string&) { return false; });
}

TEST(SentencePieceGoldenTest, GgufsGiveTheIdsOfSentencePiece) {
  const std::string bytes = GoldenText("pieces.gguf");
  const absl::StatusOr<storage::Gguf> gguf = storage::Gguf::Parse(bytes, "pieces.gguf");
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  const auto tokenizer = Make(TokenizerJsonFromGguf(*gguf));
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->bos_id(), 1);
  ExpectSentencePiecesIds(*tokenizer, "pieces", [](const std::string&) { return false; });
}

TEST(SentencePieceGoldenTest, BpeGivesTheIdsOfTransformers) {
  const auto tokenizer = FromModel("pieces", "");
  ASSERT_NE(tokenizer, nullptr);
  const json golden = GoldenJson("sentencepiece.golden.json");
  for (size_t i = 0; i < golden.at("texts").size(); ++i) {
    const std::string text = golden["texts"][i].get<std::string>();
    SCOPED_TRACE(absl::StrCat("text ", i, ": ", text));
    const absl::StatusOr<TokenizedText> got = tokenizer->Encode(text);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->ids, golden["pieces transformers"][i].get<Ids>());
  }
}

TEST(SentencePieceGoldenTest, UserDefinedPiecesAreMatchedWhole) {
  const auto tokenizer = FromModel("marks", "");
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->bos_id(), 2);
  ExpectSentencePiecesIds(*tokenizer, "marks", [](const std::string& text) {
    // The mark that stands for a space inside, written in a text: a user-defined piece of two of them is
    // looked for among spaces.
    return absl::StrContains(text, "\u2581\u2581");
  });
}

TEST(SentencePieceGoldenTest, UnigramGivesTheIdsOfSentencePiece) {
  const auto tokenizer = FromModel("words", "");
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->bos_id(), std::nullopt);
  ExpectSentencePiecesIds(*tokenizer, "words", [](const std::string& text) {
    // What the `tokenizers` library reads otherwise, and we as it does: a rule for the front of a grapheme
    // replaces all of it, and the mark for a space, written in a text, is one.
    return absl::StrContains(text, "e\u0301\u0323") || absl::StrContains(text, "\u2581");
  });
}

}  // namespace
}  // namespace vernier::data
