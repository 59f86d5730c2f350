// Random texts through the tokenizers of tests/golden/worker_text.
#include <algorithm>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/golden/worker_text/golden_files.h"
#include "worker/data/text/decode_stream.h"
#include "worker/data/text/tokenizer.h"
#include "worker/data/text/utf8.h"

namespace vernier::data {
namespace {

// A text of what is hard: every plane, runs, special tokens whole and cut.
std::string RandomText(std::mt19937_64& random) {
  const auto below = [&](uint64_t n) { return random() % n; };
  static const std::vector<std::string> kPieces = {
      " ",     "  ",  "\n",      "\r\n",         "\t",         "the",
      "'s",    "'LL", "123",     "<|im_start|>", "<|im_end|>", "<|endoftext|>",
      "<|im_", "|>",  "e\u0301", "\u200d",       "\ufe0f",     "😀",
      "日本",  "한"};
  std::string text;
  for (uint64_t i = below(40); i > 0; --i) {
    if (below(2) == 0) {
      text += kPieces[below(kPieces.size())];
      continue;
    }
    const uint64_t limits[] = {0x80, 0x800, 0x3000, 0x10000, 0x110000};
    const auto c = static_cast<char32_t>(below(limits[below(5)]));
    const uint64_t repeats = below(8) == 0 ? below(40) : 1;
    for (uint64_t k = 0; k < repeats; ++k) AppendCharacter(c >= 0xD800 && c < 0xE000 ? U'x' : c, &text);
  }
  return text;
}

class TokenizerPropertyTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto created = Tokenizer::Create(GoldenText(GetParam() + ".tokenizer.json"), "");
    ASSERT_TRUE(created.ok()) << created.status();
    tokenizer_ = *std::move(created);
  }
  std::unique_ptr<Tokenizer> tokenizer_;
};

// Of tokenizers that do not normalise.
TEST_P(TokenizerPropertyTest, DecodingGivesTheTextBackAndTokensBeginWhereTheOnesBeforeEnd) {
  const uint64_t seed = 20240607;
  std::mt19937_64 random(seed);
  for (int round = 0; round < 3000; ++round) {
    const std::string text = RandomText(random);
    SCOPED_TRACE(absl::StrCat("seed ", seed, " round ", round, ": ", text));
    const auto got = tokenizer_->Encode(text);
    ASSERT_TRUE(got.ok()) << got.status();
    ASSERT_EQ(tokenizer_->Decode(got->ids, false), text);
    ASSERT_EQ(got->ids.size(), got->begins.size());
    size_t begin = 0;
    for (size_t i = 0; i < got->ids.size(); ++i) {
      ASSERT_EQ(got->begins[i], begin);
      begin += tokenizer_->Decode({got->ids[i]}, false).size();
    }
    DecodeStream stream(*tokenizer_, false);
    std::string streamed;
    for (const int32_t id : got->ids) streamed += stream.Push(id);
    ASSERT_EQ(streamed + stream.Finish(), text);
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, TokenizerPropertyTest, testing::Values("gpt2", "llama3", "smollm"),
                         [](const auto& info) { return info.param; });

class AnyTokenizerPropertyTest : public TokenizerPropertyTest {};

TEST_P(AnyTokenizerPropertyTest, OffsetsRiseInsideTheTextWhateverIsNormalised) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 3000; ++round) {
    const std::string text = RandomText(random);
    const auto got = tokenizer_->Encode(text);
    ASSERT_TRUE(got.ok()) << got.status();
    ASSERT_TRUE(std::is_sorted(got->begins.begin(), got->begins.end())) << text;
    if (!text.empty()) {
      ASSERT_LT(got->begins.back(), text.size()) << text;
    }
  }
}

TEST_P(AnyTokenizerPropertyTest, ThreadsThatShareATokenizerGetTheSameTokens) {
  std::mt19937_64 random(11);
  std::vector<std::string> texts;
  std::vector<std::vector<int32_t>> alone;
  for (int i = 0; i < 400; ++i) {
    texts.push_back(RandomText(random));
    alone.push_back(tokenizer_->Encode(texts.back())->ids);
  }
  const auto shared = *Tokenizer::Create(GoldenText(GetParam() + ".tokenizer.json"), "");
  std::vector<std::vector<std::vector<int32_t>>> got(4);
  {
    std::vector<std::jthread> threads;
    for (auto& mine : got) {
      threads.emplace_back([&] {
        for (const std::string& text : texts) mine.push_back(shared->Encode(text)->ids);
      });
    }
  }
  for (const auto& mine : got) EXPECT_EQ(mine, alone);
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, AnyTokenizerPropertyTest,
                         testing::Values("gpt2", "llama3", "qwen2", "smollm", "odd"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace vernier::data
