// Tokenizers written into GGUF metadata and read back cut every hard text as before: the way that an exported
// model's tokenizer goes.
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/gguf.h"
#include "tests/golden/worker_text/golden_files.h"
#include "tests/testing/string_sink.h"
#include "worker/data/text/gguf_tokenizer.h"
#include "worker/data/text/gguf_vocabulary.h"
#include "worker/data/text/tokenizer.h"

namespace vernier::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::unique_ptr<Tokenizer> Make(const std::string& json) {
  auto created = Tokenizer::Create(json, "");
  EXPECT_TRUE(created.ok()) << created.status();
  return *std::move(created);
}

// The bytes of a file with nothing but the tokenizer.
std::string FileOf(const GgufVocabularySource& source) {
  const auto vocabulary = GgufVocabulary(source);
  EXPECT_TRUE(vocabulary.ok()) << vocabulary.status();
  StringSink sink;
  const auto writer =
      storage::GgufWriter::Create(sink, vocabulary.ok() ? *vocabulary : storage::GgufMetadata(), {});
  EXPECT_TRUE(writer.ok()) << writer.status();
  return sink.text;
}

class GgufVocabularyTest : public testing::TestWithParam<std::string> {};

TEST_P(GgufVocabularyTest, ReadBackItCutsEveryTextAsBefore) {
  const std::string json = GoldenText(GetParam() + ".tokenizer.json");
  const auto before = Make(json);
  // Embeddings are often padded.
  const std::string file = FileOf({.tokenizer_json = json, .embedding_rows = before->vocab_size() + 3});
  const auto gguf = storage::Gguf::Parse(file, "model.gguf");
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_EQ(gguf->GetStrings("tokenizer.ggml.tokens")->size(), static_cast<size_t>(before->vocab_size() + 3));
  const auto read = TokenizerJsonFromGguf(*gguf);
  ASSERT_TRUE(read.ok()) << read.status();
  const auto after = Make(*read);
  EXPECT_EQ(after->bos_id(), before->bos_id());
  for (const auto& text : GoldenJson("texts.json")) {
    const auto want = before->Encode(text.get<std::string>());
    const auto got = after->Encode(text.get<std::string>());
    ASSERT_EQ(got.ok(), want.ok()) << text << got.status() << want.status();
    if (!want.ok()) continue;
    EXPECT_EQ(got->ids, want->ids) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, GgufVocabularyTest, testing::Values("gpt2", "llama3", "qwen2", "smollm"),
                         [](const auto& info) { return info.param; });

TEST(GgufVocabularyPiecesTest, SentencePiecesMergeInTheirOrder) {
  const std::string bytes = GoldenText("pieces.gguf");
  const auto gguf = storage::Gguf::Parse(bytes, "pieces.gguf");
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  const auto json = TokenizerJsonFromGguf(*gguf);
  ASSERT_TRUE(json.ok()) << json.status();
  const auto before = Make(*json);
  const std::string file = FileOf({.tokenizer_json = *json, .embedding_rows = before->vocab_size()});
  const auto written = storage::Gguf::Parse(file, "model.gguf");
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(written->GetString("tokenizer.ggml.model").value(), "llama");
  const auto read = TokenizerJsonFromGguf(*written);
  ASSERT_TRUE(read.ok()) << read.status();
  const auto after = Make(*read);
  for (const auto& text : GoldenJson("texts.json")) {
    EXPECT_EQ(after->Encode(text.get<std::string>())->ids, before->Encode(text.get<std::string>())->ids)
        << text;
  }
}

TEST(GgufVocabularyKeysTest, SaysWhichTokensEndAnAnswerAndHowMessagesAreWritten) {
  const std::string json = GoldenText("smollm.tokenizer.json");
  const auto tokenizer = Make(json);
  const std::string file = FileOf({.tokenizer_json = json,
                                   .chat_template = "{{ messages }}",
                                   .stop_ids = {0, 2},
                                   .embedding_rows = tokenizer->vocab_size()});
  const auto gguf = storage::Gguf::Parse(file, "model.gguf");
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  EXPECT_EQ(gguf->GetString("tokenizer.ggml.model").value(), "gpt2");
  EXPECT_EQ(gguf->GetString("tokenizer.ggml.pre").value(), "smollm");
  EXPECT_EQ(gguf->GetInt("tokenizer.ggml.eos_token_id").value(), 0);
  EXPECT_EQ(gguf->GetInt("tokenizer.ggml.eot_token_id").value(), 2);
  EXPECT_FALSE(gguf->Has("tokenizer.ggml.eom_token_id"));
  EXPECT_FALSE(gguf->GetBool("tokenizer.ggml.add_bos_token").value());
  EXPECT_EQ(gguf->GetString("tokenizer.chat_template").value(), "{{ messages }}");
}

TEST(GgufVocabularyKeysTest, RefusesWhatFilesHaveNoNameFor) {
  const auto error = [](const std::string& name, int64_t rows) {
    return std::string(
        GgufVocabulary({.tokenizer_json = GoldenText(name + ".tokenizer.json"), .embedding_rows = rows})
            .status()
            .message());
  };
  EXPECT_THAT(error("unigram", 1 << 20), HasSubstr("it is no BPE tokenizer, which GGUF has no name for"));
  EXPECT_THAT(error("wordpiece", 1 << 20), HasSubstr("it is no BPE tokenizer"));
  EXPECT_THAT(error("odd", 1 << 20), HasSubstr("export the model as merged"));
  EXPECT_THAT(error("spm", 1 << 20), HasSubstr("it marks no spaces"));
  EXPECT_THAT(error("gpt2", 3), HasSubstr("but the embedding has 3 rows"));
}

}  // namespace
}  // namespace vernier::data
