// tokenizer.model files, sound and unsound, and folders that hold them.
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "worker/data/text/folder_tokenizer.h"
#include "worker/data/text/precompiled_map.h"
#include "worker/data/text/sentencepiece_model.h"
#include "worker/data/text/tokenizer.h"

namespace vernier::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(0x80 | (value & 0x7F)));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}
std::string Number(int field, uint64_t value) {
  return Varint(static_cast<uint64_t>(field) << 3) + Varint(value);
}
std::string Bytes(int field, absl::string_view bytes) {
  return absl::StrCat(Varint(static_cast<uint64_t>(field) << 3 | 2), Varint(bytes.size()), bytes);
}
std::string Float(int field, float value) {
  std::string bytes(4, '\0');
  std::memcpy(bytes.data(), &value, 4);
  return Varint(static_cast<uint64_t>(field) << 3 | 5) + bytes;
}
std::string Piece(absl::string_view text, float score, uint64_t type = 1) {
  return Bytes(1, Bytes(1, text) + Float(2, score) + Number(3, type));
}

// "▁", "a", "b", "ab", "▁ab" behind the usual three.
std::string Pieces() {
  return Piece("<unk>", 0, 2) + Piece("<s>", 0, 3) + Piece("</s>", 0, 3) + Piece("\u2581", -9) +
         Piece("a", -8) + Piece("b", -7) + Piece("ab", -1) + Piece("\u2581ab", -2);
}
std::string Bpe() {
  return Pieces() + Bytes(2, Number(3, 2) + Number(40, 0) + Number(41, 1)) +
         Bytes(3, Number(3, 1) + Number(4, 0) + Number(5, 1));
}

std::unique_ptr<Tokenizer> Make(const std::string& model, absl::string_view config = "") {
  const absl::StatusOr<std::string> text = TokenizerJsonFromSentencePiece(model, config);
  EXPECT_TRUE(text.ok()) << text.status();
  auto tokenizer = Tokenizer::Create(*text, "");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

TEST(SentencePieceTest, BpeMergesByScoreAndKeepsSpaces) {
  const auto tokenizer = Make(Bpe());
  EXPECT_EQ(tokenizer->bos_id(), 1);
  EXPECT_THAT(tokenizer->Encode("ab bab  a")->ids, ElementsAre(7, 3, 5, 6, 3, 3, 4));
  EXPECT_THAT(tokenizer->Encode("a</s>ab")->ids, ElementsAre(3, 4, 2, 6));
  EXPECT_EQ(tokenizer->Decode({7, 3, 5, 6}, true), "ab bab");
}

TEST(SentencePieceTest, TheConfigSaysWhereSpacesArePut) {
  EXPECT_THAT(Make(Bpe(), R"({"legacy": true})")->Encode("a</s>ab")->ids, ElementsAre(3, 4, 2, 7));
  EXPECT_THAT(Make(Bpe(), R"({"add_prefix_space": false})")->Encode("ab")->ids, ElementsAre(6));
  EXPECT_EQ(Make(Bpe(), R"({"add_bos_token": false})")->bos_id(), std::nullopt);
}

TEST(SentencePieceTest, UnigramDropsExtraSpaces) {
  const auto tokenizer = Make(Pieces());
  EXPECT_EQ(tokenizer->bos_id(), std::nullopt);
  EXPECT_THAT(tokenizer->Encode("  ab   a ")->ids, ElementsAre(7, 3, 4));
}

TEST(SentencePieceTest, TheSameFileGivesTheSameBytes) {
  EXPECT_EQ(*TokenizerJsonFromSentencePiece(Bpe(), ""), *TokenizerJsonFromSentencePiece(Bpe(), ""));
}

TEST(BadSentencePieceTest, IsRefusedByName) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "has no pieces"},
      {"\xFF", "ends inside a number"},
      {std::string(11, '\xFF'), "a number that is too long"},
      {Bpe() + "\x0A", "ends inside a number"},
      {Bpe() + "\x0A\x7F", "ends inside a field"},
      {Bpe() + "\x0B", "a field of an unknown kind"},
      {Pieces() + Bytes(2, Number(3, 4)), "model_type char is not supported; supported: unigram, bpe"},
      {Pieces() + Bytes(2, Number(24, 1)), "treat_whitespace_as_suffix is not supported"},
      {Pieces() + Bytes(3, Number(5, 0)), "escape_whitespaces = false is not supported"},
      {Pieces() + Piece("a", 0), "\"a\" is both token 4 and token 8"},
      {Pieces() + Piece("\xFF", 0), "token 8 is not UTF-8"},
      {Pieces() + Piece("x", 0, 9), "a piece of an unknown type"},
      {Pieces() + Piece("x", std::numeric_limits<float>::infinity()), "the score of token 8 is not a number"},
      {Bpe() + Bytes(2, Number(3, 2) + Number(41, 99)), "the bos id 99 is no token; there are 8"},
      {Piece(std::string(70'000, 'x'), 0), "a piece has 70000 bytes"},
  };
  for (const auto& [bytes, says] : cases) {
    const auto got = TokenizerJsonFromSentencePiece(bytes, "");
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument) << says;
    EXPECT_THAT(std::string(got.status().message()), HasSubstr(says));
    EXPECT_THAT(std::string(got.status().message()), testing::StartsWith("tokenizer.model: "));
  }
}

TEST(BadSentencePieceTest, EveryTruncationIsReadOrRefused) {
  const std::string bytes = Bpe();
  for (size_t size = 0; size < bytes.size(); ++size) {
    const auto got = TokenizerJsonFromSentencePiece(bytes.substr(0, size), "");
    EXPECT_TRUE(got.ok() || absl::IsInvalidArgument(got.status())) << size;
  }
}

TEST(PrecompiledMapTest, DamagedMapsAreRefusedOrChangeNothing) {
  for (const std::string& bytes :
       {std::string(), std::string(3, 'x'), std::string("\x05\0\0\0aaaaa", 9),
        std::string("\x08\0\0\0aaaa", 8), std::string("\x04\0\0\0\0\0\0\0\xFF", 9)}) {
    EXPECT_EQ(PrecompiledMap::Parse(bytes).status().code(), absl::StatusCode::kInvalidArgument);
  }
  const absl::StatusOr<PrecompiledMap> map =
      PrecompiledMap::Parse(std::string("\x04\0\0\0\xFF\xFF\xFF\xFF", 8) + "abc");
  ASSERT_TRUE(map.ok());
  AlignedText text("some text", 0);
  ASSERT_TRUE(map->Apply(text).ok());
  EXPECT_EQ(text.text(), "some text");
}

storage::TokenizerFiles Folder(std::string json, std::string model) {
  return {.tokenizer_json = std::move(json), .tokenizer_model = std::move(model), .embedding_rows = 8};
}

TEST(FolderTokenizerTest, TheModelIsReadWhereThereIsNoTokenizerJson) {
  const auto text = TokenizerJsonFromFolder(Folder("", Bpe()));
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text, *TokenizerJsonFromSentencePiece(Bpe(), ""));
  EXPECT_EQ(*TokenizerJsonFromFolder(Folder(*text, "")), *text);
  EXPECT_EQ(*TokenizerJsonFromFolder(Folder(*text, Bpe())), *text);
}

TEST(FolderTokenizerTest, TwoFilesThatDisagreeAreRefused) {
  const std::string text = *TokenizerJsonFromSentencePiece(Bpe(), "");
  const std::string other_ids = Piece("<unk>", 0, 2) + Piece("<s>", 0, 3) + Piece("</s>", 0, 3) +
                                Piece("a", -8) + Piece("\u2581", -9) + Bytes(2, Number(3, 2));
  const auto ids = TokenizerJsonFromFolder(Folder(text, other_ids));
  EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      std::string(ids.status().message()),
      HasSubstr(
          "tokenizer.json and tokenizer.model disagree: \"a\" is token 3 of tokenizer.model and token 4"));
  const auto missing = TokenizerJsonFromFolder(Folder(text, Bpe() + Piece("zz", -20)));
  EXPECT_THAT(std::string(missing.status().message()),
              HasSubstr("\"zz\" is token 8 of tokenizer.model and none of"));
  const std::string no_prefix = Bpe() + Bytes(3, Number(3, 0) + Number(4, 0));
  const auto cut = TokenizerJsonFromFolder(Folder(text, no_prefix));
  EXPECT_THAT(std::string(cut.status().message()), HasSubstr("they cut \"The quick brown fox"));
}

TEST(FolderTokenizerTest, AVocabularyLargerThanTheEmbeddingIsRefused) {
  storage::TokenizerFiles files = Folder("", Bpe());
  files.embedding_rows = 7;
  const auto got = TokenizerJsonFromFolder(files);
  EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(got.status().message()),
              HasSubstr("tokenizer.model: has a token with id 7, but the embedding only has 7 rows"));
}

}  // namespace
}  // namespace vernier::data
