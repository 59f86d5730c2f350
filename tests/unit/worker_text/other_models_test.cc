// Tokenizers that are not byte-level: SentencePiece BPE, Unigram, WordPiece, WordLevel; and their decoders.
#include "tests/unit/worker_text/other_models.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/worker_text/tokenizer_files.h"
#include "worker/data/text/decode_stream.h"
#include "worker/data/text/tokenizer.h"

namespace vernier::data {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

std::unique_ptr<Tokenizer> Make(const json& file) {
  auto created = Tokenizer::Create(file.dump(), "");
  EXPECT_TRUE(created.ok()) << created.status();
  return *std::move(created);
}

TEST(PiecesTest, SpacesBecomeMarksAndTheFirstWordGetsOne) {
  const auto got = Make(SmallPieces())->Encode("ab ab  c");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_THAT(got->ids, ElementsAre(6, 6, 1, 1, 4));
  EXPECT_THAT(got->begins, ElementsAre(0, 2, 5, 6, 7));
  EXPECT_THAT(Make(SmallPieces())->Encode(" ab")->ids, ElementsAre(6));
}

TEST(PiecesTest, OnlyTheFirstPieceIsPrefixedUnlessToldOtherwise) {
  json file = SmallPieces();
  file["added_tokens"] = json::array({AddedTokenJson(265, "<s>", true)});
  EXPECT_THAT(Make(file)->Encode("ab<s>ab")->ids, ElementsAre(6, 265, 5));
  EXPECT_THAT(Make(file)->Encode("<s>ab")->ids, ElementsAre(265, 5));
  file["pre_tokenizer"] = Metaspace("always", false);
  EXPECT_THAT(Make(file)->Encode("<s>ab")->ids, ElementsAre(265, 6));
  file["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"add_prefix_space", false}};
  EXPECT_THAT(Make(file)->Encode("ab")->ids, ElementsAre(5));
}

TEST(PiecesTest, UnknownCharactersFallBackToTheirBytes) {
  const auto got = Make(SmallPieces())->Encode("aéb");
  EXPECT_THAT(got->ids, ElementsAre(1, 2, 9 + 0xC3, 9 + 0xA9, 3));
  EXPECT_THAT(got->begins, ElementsAre(0, 0, 1, 2, 3));
  json file = SmallPieces();
  file["model"]["byte_fallback"] = false;
  EXPECT_THAT(Make(file)->Encode("aééb")->ids, ElementsAre(1, 2, 0, 3));
  file["model"]["fuse_unk"] = false;
  EXPECT_THAT(Make(file)->Encode("aééb")->ids, ElementsAre(1, 2, 0, 0, 3));
}

TEST(PiecesTest, ByteTokensDecodeTogetherOrNotAtAll) {
  const auto tokenizer = Make(SmallPieces());
  EXPECT_EQ(DecodeText(*tokenizer, {6, 9 + 0xE6, 9 + 0x97, 9 + 0xA5, 1, 2}, false), "ab日 a");
  EXPECT_EQ(DecodeText(*tokenizer, {9 + 0xC3, 9 + 0xA9, 9 + 0xFF, 2}, false), "\uFFFD\uFFFD\uFFFDa");
  EXPECT_EQ(DecodeText(*tokenizer, {1, 1, 2}, false), " a");
}

TEST(PiecesTest, StreamsGiveTextAsSoonAsItIsSure) {
  const auto tokenizer = Make(SmallPieces());
  DecodeStream stream(*tokenizer, false);
  EXPECT_EQ(stream.Push(1), "");  // the space before the text
  EXPECT_EQ(stream.Push(2), "a");
  EXPECT_EQ(stream.Push(9 + 0xC3), "");
  EXPECT_EQ(stream.Push(9 + 0xA9), "");  // more bytes may follow
  EXPECT_EQ(stream.Push(6), "é ab");
  EXPECT_EQ(stream.Push(9 + 0x41), "");
  EXPECT_EQ(stream.Finish(), "A");
  EXPECT_EQ(stream.Push(6), "ab");  // a new text
}

TEST(PiecesTest, MarksInsidePiecesAreMergedAcrossWords) {
  json file = SmallPieces();
  file["model"]["vocab"]["b\u2581"] = 265;
  file["model"]["merges"].insert(file["model"]["merges"].begin(), "b \u2581");
  EXPECT_THAT(Make(file)->Encode("ab b")->ids, ElementsAre(1, 2, 265, 3));
}

TEST(UnigramTest, TheBestScoringPathWins) {
  const auto tokenizer = Make(SmallUnigram());
  EXPECT_THAT(tokenizer->Encode("aba")->ids, ElementsAre(3, 1));  // -2.5, above "aba" with -3.5
  EXPECT_THAT(tokenizer->Encode("aab")->ids, ElementsAre(1, 3));
  EXPECT_THAT(tokenizer->Encode("aa")->ids, ElementsAre(6));  // a tie: the longer one is found first
  EXPECT_THAT(tokenizer->Encode("xyab")->ids, ElementsAre(0, 3));
  EXPECT_THAT(tokenizer->Encode("xyab")->begins, ElementsAre(0, 2));
}

TEST(UnigramTest, WithoutAnUnknownTokenUnknownCharactersAreRefused) {
  json file = SmallUnigram();
  file["model"]["unk_id"] = nullptr;
  EXPECT_THAT(Make(file)->Encode("ab")->ids, ElementsAre(3));
  const auto got = Make(file)->Encode("abx");
  EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(got.status().message()), HasSubstr("no token for \"x\""));
}

TEST(WordPieceTest, TakesTheLongestPieceEachTime) {
  const auto tokenizer = Make(SmallWordPiece());
  const auto got = tokenizer->Encode("Playing, café PLAYIN xplay playingingi");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_THAT(got->ids, ElementsAre(4, 5, 7, 8, 4, 6, 1, 1));
  EXPECT_THAT(got->begins, ElementsAre(0, 4, 7, 9, 15, 19, 22, 28));
  EXPECT_EQ(tokenizer->bos_id(), 2);
  EXPECT_EQ(DecodeText(*tokenizer, got->ids, false), "playing, cafe playin [UNK] [UNK]");
}

TEST(WordLevelTest, WordsAreTokens) {
  json file = SmallWordPiece();
  file["model"] = {
      {"type", "WordLevel"}, {"unk_token", "[UNK]"}, {"vocab", {{"[UNK]", 0}, {"a", 1}, {"b", 2}}}};
  file["decoder"] = nullptr;
  file["post_processor"] = nullptr;
  const auto tokenizer = Make(file);
  EXPECT_THAT(tokenizer->Encode("a b c")->ids, ElementsAre(1, 2, 0));
  EXPECT_EQ(tokenizer->Decode({1, 2, 0}, false), "a b [UNK]");
}

TEST(DecoderTest, StepsBehindAFuseSeeTheWholeText) {
  json file = SmallPieces();
  file["decoder"] = {{"type", "Sequence"},
                     {"decoders",
                      {{{"type", "Fuse"}},
                       {{"type", "Replace"}, {"pattern", {{"String", "ba"}}}, {"content", "-"}},
                       {{"type", "Strip"}, {"content", "a"}, {"start", 2}, {"stop", 1}}}}};
  const auto tokenizer = Make(file);
  EXPECT_EQ(tokenizer->Decode({2, 2, 5, 2, 4, 2}, false), "a-c");  // of "aaabaca"
  DecodeStream stream(*tokenizer, false);
  EXPECT_EQ(stream.Push(5), "");
  EXPECT_EQ(stream.Finish(), "b");
}

TEST(DecoderTest, EndsOfATextWaitUntilItEnds) {
  json file = SmallPieces();
  file["decoder"] = {
      {"type", "Sequence"},
      {"decoders", {{{"type", "Fuse"}}, {{"type", "Strip"}, {"content", "a"}, {"start", 0}, {"stop", 2}}}}};
  const auto tokenizer = Make(file);
  DecodeStream stream(*tokenizer, false);
  EXPECT_EQ(stream.Push(3), "b");
  EXPECT_EQ(stream.Push(8), "aa");
  EXPECT_EQ(stream.Push(3), "aab");
  EXPECT_EQ(stream.Push(2), "");
  EXPECT_EQ(stream.Finish(), "");
}

struct BadModel {
  std::string name;
  json file;
  std::string says;
};
void PrintTo(const BadModel& model, std::ostream* out) { *out << model.name; }
class BadModelTest : public testing::TestWithParam<BadModel> {};

TEST_P(BadModelTest, IsRefusedByName) {
  const auto created = Tokenizer::Create(GetParam().file.dump(), "");
  EXPECT_EQ(created.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(created.status().message()), HasSubstr(GetParam().says));
  EXPECT_THAT(std::string(created.status().message()), testing::StartsWith("tokenizer.json: model"));
}

json WithModel(json file, const std::string& key, json value) {
  file["model"][key] = std::move(value);
  return file;
}

INSTANTIATE_TEST_SUITE_P(
    Files, BadModelTest,
    testing::ValuesIn<BadModel>({
        {"UnigramEmpty", WithModel(SmallUnigram(), "vocab", json::array()), "model.vocab: is empty"},
        {"UnigramObject", WithModel(SmallUnigram(), "vocab", json::object()), "model.vocab: expected a list"},
        {"UnigramTwice", WithModel(SmallUnigram(), "vocab", Scores({{"a", 0}, {"a", -1}})),
         "model.vocab[1]: token \"a\" has id 0 already"},
        {"UnigramNoScore", WithModel(SmallUnigram(), "vocab", json::array({json::array({"a"})})),
         "model.vocab[0]: expected a token and its score"},
        {"UnigramUnknownOutside", WithModel(SmallUnigram(), "unk_id", 7),
         "model.unk_id: there is no token 7"},
        {"WordPieceNoPrefix", WithModel(SmallWordPiece(), "continuing_subword_prefix", nullptr),
         "model.continuing_subword_prefix: expected a string, found null"},
        {"WordPieceNoLimit", WithModel(SmallWordPiece(), "max_input_chars_per_word", 0),
         "max_input_chars_per_word: is not positive"},
        {"WordPieceUnknown", WithModel(SmallWordPiece(), "unk_token", "<u>"),
         "\"<u>\" is not in the vocabulary"},
    }),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vernier::data
