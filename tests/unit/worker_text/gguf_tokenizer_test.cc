#include "worker/data/text/gguf_tokenizer.h"

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/gguf_builder.h"
#include "worker/data/text/byte_level.h"
#include "worker/data/text/gguf_splits.h"
#include "worker/data/text/tokenizer.h"

namespace vernier::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A token for each byte, "22", a control token, a user-defined one with a space, an unused one.
std::vector<std::string> Tokens() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte)
    tokens.push_back(SymbolsOfBytes(std::string(1, static_cast<char>(byte))));
  tokens.insert(tokens.end(), {"22", "<|end|>", "  ", "[PAD259]"});
  return tokens;
}
std::string Types(size_t count = 260) {
  std::vector<int32_t> types(count, 1);
  types[257] = 3;
  types[258] = 4;
  types[259] = 5;
  return Raw(uint32_t{5}) + Raw(uint64_t{count}) + RawAll(types);
}

GgufBuilder Small(absl::string_view pre) {
  GgufBuilder builder;
  builder.String("tokenizer.ggml.model", "gpt2")
      .String("tokenizer.ggml.pre", pre)
      .Strings("tokenizer.ggml.tokens", Tokens())
      .Add("tokenizer.ggml.token_type", 9, Types())
      .Strings("tokenizer.ggml.merges", {"2 2"});
  return builder;
}

absl::StatusOr<std::string> Convert(const GgufBuilder& builder) {
  const std::string bytes = builder.Build();
  const absl::StatusOr<storage::Gguf> gguf = storage::Gguf::Parse(bytes, "m.gguf");
  if (!gguf.ok()) return gguf.status();
  return TokenizerJsonFromGguf(*gguf);
}

std::unique_ptr<Tokenizer> Make(const GgufBuilder& builder) {
  const absl::StatusOr<std::string> text = Convert(builder);
  EXPECT_TRUE(text.ok()) << text.status();
  auto tokenizer = Tokenizer::Create(*text, "");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

TEST(GgufTokenizerTest, TokenTypesBecomeAddedTokens) {
  const auto tokenizer = Make(Small("gpt-2"));
  EXPECT_EQ(tokenizer->vocab_size(), 260);
  EXPECT_THAT(tokenizer->Encode("2222<|end|>  [PAD259]")->ids,
              ElementsAre(256, 256, 257, 258, '[', 'P', 'A', 'D', '2', '5', '9', ']'));
  EXPECT_TRUE(tokenizer->IsSpecial(257));
  EXPECT_FALSE(tokenizer->IsSpecial(258));
  EXPECT_EQ(tokenizer->Decode({258, 257, 256}, true), "  22");
}

TEST(GgufTokenizerTest, TheSplitFollowsItsName) {
  EXPECT_THAT(Make(Small("smollm"))->Encode("222")->ids, ElementsAre('2', '2', '2'));
  EXPECT_THAT(Make(Small("qwen2"))->Encode("222")->ids, ElementsAre('2', '2', '2'));
  EXPECT_THAT(Make(Small("gpt-2"))->Encode("222")->ids, ElementsAre(256, '2'));
}

TEST(GgufTokenizerTest, EveryKnownSplitMakesATokenizer) {
  EXPECT_GE(GgufSplits().size(), 70u);
  for (const GgufSplit& split : GgufSplits()) {
    const absl::string_view pre = split.name;
    GgufBuilder builder = Small(pre);
    builder.Int("tokenizer.ggml.bos_token_id", 257);
    const auto tokenizer = Make(builder);
    const std::string text = "Hello, Wörld! it's 12345\r\n\n  日本語 CamelCase's";
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text)->ids, false), text) << pre;
  }
}

TEST(GgufTokenizerTest, BosStandsBeforeTextsWhereTheFileOrTheSplitSaysSo) {
  GgufBuilder plain = Small("gpt-2");
  plain.Int("tokenizer.ggml.bos_token_id", 257);
  EXPECT_EQ(Make(plain)->bos_id(), std::nullopt);
  GgufBuilder asked = Small("gpt-2");
  asked.Int("tokenizer.ggml.bos_token_id", 257).Bool("tokenizer.ggml.add_bos_token", true);
  EXPECT_EQ(Make(asked)->bos_id(), 257);
  GgufBuilder llama = Small("llama-bpe");
  llama.Int("tokenizer.ggml.bos_token_id", 257);
  EXPECT_EQ(Make(llama)->bos_id(), 257);
  GgufBuilder refused = Small("llama-bpe");
  refused.Int("tokenizer.ggml.bos_token_id", 257).Bool("tokenizer.ggml.add_bos_token", false);
  EXPECT_EQ(Make(refused)->bos_id(), std::nullopt);
}

std::string Scores(const std::vector<float>& scores) {
  return Raw(uint32_t{6}) + Raw(uint64_t{scores.size()}) + RawAll(scores);
}
std::string TypesOf(const std::vector<int32_t>& types) {
  return Raw(uint32_t{5}) + Raw(uint64_t{types.size()}) + RawAll(types);
}

GgufBuilder SmallSentencePiece() {
  GgufBuilder builder;
  builder.String("tokenizer.ggml.model", "llama")
      .Strings("tokenizer.ggml.tokens",
               {"<unk>", "<s>", "<0x21>", "\u2581", "a", "b", "ab", "\u2581ab", "\u2581a", "<tag>"})
      .Add("tokenizer.ggml.scores", 9, Scores({0, 0, 0, -9, -8, -7, -2, -3, -1, 0}))
      .Add("tokenizer.ggml.token_type", 9, TypesOf({2, 3, 6, 1, 1, 1, 1, 1, 1, 4}))
      .Int("tokenizer.ggml.bos_token_id", 1);
  return builder;
}

TEST(GgufTokenizerTest, SentencePieceMergesByScore) {
  const auto tokenizer = Make(SmallSentencePiece());
  EXPECT_EQ(tokenizer->bos_id(), 1);
  EXPECT_THAT(tokenizer->Encode("ab bab!<tag>b")->ids, ElementsAre(7, 3, 5, 6, 2, 9, 3, 5));
  EXPECT_EQ(tokenizer->Decode({7, 3, 5, 6, 2}, true), "ab bab!");
  GgufBuilder bare = SmallSentencePiece();
  bare.Bool("tokenizer.ggml.add_space_prefix", false).Bool("tokenizer.ggml.add_bos_token", false);
  EXPECT_THAT(Make(bare)->Encode("ab ab")->ids, ElementsAre(6, 7));
  EXPECT_EQ(Make(bare)->bos_id(), std::nullopt);
}

TEST(GgufTokenizerTest, UnigramTakesTheBestPath) {
  GgufBuilder builder;
  builder.String("tokenizer.ggml.model", "t5")
      .Strings("tokenizer.ggml.tokens", {"<unk>", "\u2581", "a", "b", "ab", "\u2581ab"})
      .Add("tokenizer.ggml.scores", 9, Scores({0, -3, -2, -2, -3.5F, -9}))
      .Add("tokenizer.ggml.token_type", 9, TypesOf({2, 1, 1, 1, 1, 1}));
  EXPECT_THAT(Make(builder)->Encode("ab  ba?")->ids, ElementsAre(1, 4, 1, 1, 3, 2, 0));
  builder.Bool("tokenizer.ggml.remove_extra_whitespaces", true);
  EXPECT_THAT(Make(builder)->Encode("ab  ba ")->ids, ElementsAre(1, 4, 1, 3, 2));
}

TEST(GgufTokenizerTest, BertReadsWordsAndTheirRests) {
  GgufBuilder builder;
  builder.String("tokenizer.ggml.model", "bert")
      .Strings("tokenizer.ggml.tokens",
               {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2581the", "s", "\u2581s", "\u2581,"})
      .Int("tokenizer.ggml.bos_token_id", 2)
      .Int("tokenizer.ggml.unknown_token_id", 1);
  const auto tokenizer = Make(builder);
  EXPECT_THAT(tokenizer->Encode("Thés, s xyz")->ids, ElementsAre(4, 5, 7, 6, 1));
  EXPECT_EQ(tokenizer->Decode({4, 5, 7, 6}, false), "thes, s");
  EXPECT_EQ(tokenizer->bos_id(), 2);
}

TEST(BadGgufTokenizerTest, ScoresOfAnotherLengthAreRefused) {
  GgufBuilder builder;
  builder.String("tokenizer.ggml.model", "llama")
      .Strings("tokenizer.ggml.tokens", {"<unk>", "a"})
      .Add("tokenizer.ggml.scores", 9, Scores({0}));
  EXPECT_THAT(std::string(Convert(builder).status().message()),
              HasSubstr("scores has 1 entries for 2 tokens"));
}

TEST(GgufTokenizerTest, TheSameFileGivesTheSameBytes) {
  EXPECT_EQ(*Convert(Small("smollm")), *Convert(Small("smollm")));
  EXPECT_TRUE(nlohmann::json::accept(*Convert(Small("smollm"))));
}

void ExpectRefused(const GgufBuilder& builder, const std::string& says) {
  const absl::StatusOr<std::string> got = Convert(builder);
  EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(got.status().message()), HasSubstr(says));
  EXPECT_THAT(std::string(got.status().message()), HasSubstr("m.gguf"));
}

TEST(BadGgufTokenizerTest, IsRefusedByName) {
  ExpectRefused(GgufBuilder(), "tokenizer.ggml.model");
  GgufBuilder other;
  other.String("tokenizer.ggml.model", "rwkv");
  ExpectRefused(other,
                "\"rwkv\" is not supported; supported: gpt2 (byte-level BPE), llama (SentencePiece BPE)");
  ExpectRefused(Small("default"), "\"default\" is not supported; supported: gpt-2, ");
  GgufBuilder no_tokens;
  no_tokens.String("tokenizer.ggml.model", "gpt2").String("tokenizer.ggml.pre", "gpt-2");
  ExpectRefused(no_tokens, "tokenizer.ggml.tokens");

  const auto with = [](const std::vector<std::string>& tokens, const std::vector<std::string>& merges) {
    GgufBuilder builder;
    builder.String("tokenizer.ggml.model", "gpt2").String("tokenizer.ggml.pre", "gpt-2");
    builder.Strings("tokenizer.ggml.tokens", tokens).Strings("tokenizer.ggml.merges", merges);
    return builder;
  };
  ExpectRefused(with({"a", "b", "a"}, {}), "\"a\" is both token 0 and token 2");
  ExpectRefused(with({"a", "\xFF"}, {}), "token 1 is not UTF-8");
  ExpectRefused(with({"a"}, {"\xFF"}), "merge 0 is not UTF-8");
  GgufBuilder types = with({"a"}, {});
  types.Add("tokenizer.ggml.token_type", 9, Types(260));
  ExpectRefused(types, "260 entries for 1 tokens");
  GgufBuilder bos = Small("llama-bpe");
  ExpectRefused(bos, "tokenizer.ggml.bos_token_id");
  bos.Int("tokenizer.ggml.bos_token_id", 260);
  ExpectRefused(bos, "bos_token_id 260 is no token");
}

}  // namespace
}  // namespace vernier::data
