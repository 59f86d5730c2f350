#include "worker/data/text/gguf_vocabulary.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/gguf.h"
#include "tests/testing/string_sink.h"
#include "worker/data/text/gguf_tokenizer.h"
#include "worker/data/text/tokenizer.h"

namespace vernier::data {
namespace {

using testing::ElementsAre;

// As Gemma's: a run of spaces is an added token that is not special, and a piece that merges make.
constexpr char kSpaces[] = R"({
  "version": "1.0",
  "added_tokens": [
    {"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false,
     "normalized": false, "special": true},
    {"id": 4, "content": "▁▁", "single_word": false, "lstrip": false, "rstrip": false,
     "normalized": false, "special": false}],
  "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
  "pre_tokenizer": null, "post_processor": null,
  "decoder": {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "Fuse"}]},
  "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": false,
    "vocab": {"<unk>": 0, "▁": 1, "a": 2, "b": 3, "▁▁": 4, "▁a": 5, "ab": 6},
    "merges": ["▁ ▁", "▁ a", "a b"]}})";

TEST(GgufVocabularyPiecesTest, AddedTokensStandThereWithSpacesAsReadersGiveThemOut) {
  const auto before = Tokenizer::Create(kSpaces, "");
  ASSERT_TRUE(before.ok()) << before.status();
  const auto vocabulary = GgufVocabulary({.tokenizer_json = kSpaces, .embedding_rows = 7});
  ASSERT_TRUE(vocabulary.ok()) << vocabulary.status();
  StringSink sink;
  ASSERT_TRUE(storage::GgufWriter::Create(sink, *vocabulary, {}).ok());
  const auto gguf = storage::Gguf::Parse(sink.text, "model.gguf");
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_THAT(gguf->GetStrings("tokenizer.ggml.tokens").value(),
              ElementsAre("<unk>", "▁", "a", "b", "  ", "▁a", "ab"));
  EXPECT_THAT(gguf->GetInts("tokenizer.ggml.token_type").value(), ElementsAre(2, 1, 1, 1, 4, 1, 1));

  const auto json = TokenizerJsonFromGguf(*gguf);
  ASSERT_TRUE(json.ok()) << json.status();
  const auto after = Tokenizer::Create(*json, "");
  ASSERT_TRUE(after.ok()) << after.status();
  for (const char* const text : {"ab  ab", "a a   ab", "    ", "  a", "b  "}) {
    const std::vector<int32_t> want = (*before)->Encode(text)->ids;
    EXPECT_EQ((*after)->Encode(text)->ids, want) << text;
    EXPECT_EQ((*after)->Decode(want, false), text);
  }
}

}  // namespace
}  // namespace vernier::data
