#include "worker/data/text/tokenizer.h"

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/worker_text/tokenizer_files.h"

namespace vernier::data {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

std::unique_ptr<Tokenizer> Make(const json& file, const std::string& config = "") {
  auto created = Tokenizer::Create(file.dump(), config);
  EXPECT_TRUE(created.ok()) << created.status();
  return created.ok() ? *std::move(created) : nullptr;
}

TEST(TokenizerTest, MergesThePairThatWasLearnedFirst) {
  const auto tokenizer = Make(SmallTokenizer());
  const auto got = tokenizer->Encode("the the");
  ASSERT_TRUE(got.ok());
  EXPECT_THAT(got->ids, ElementsAre('t', 257, 258));
  EXPECT_THAT(got->begins, ElementsAre(0, 1, 3));
  EXPECT_EQ(tokenizer->Decode(got->ids, false), "the the");
  EXPECT_EQ(tokenizer->vocab_size(), 259);
  EXPECT_EQ(tokenizer->TokenId("Ġthe"), 258);
  EXPECT_EQ(tokenizer->TokenId(" the"), std::nullopt);
}

TEST(TokenizerTest, BytesOfOneCharacterBeginAtTheirOwnPlace) {
  const auto got = Make(SmallTokenizer())->Encode("aé😀");
  ASSERT_TRUE(got.ok());
  EXPECT_THAT(got->ids, ElementsAre('a', 0xC3, 0xA9, 0xF0, 0x9F, 0x98, 0x80));
  EXPECT_THAT(got->begins, ElementsAre(0, 1, 2, 3, 4, 5, 6));
}

TEST(TokenizerTest, AnEmptyTextHasNoTokens) {
  const auto got = Make(SmallTokenizer())->Encode("");
  ASSERT_TRUE(got.ok());
  EXPECT_TRUE(got->ids.empty());
  EXPECT_TRUE(got->begins.empty());
}

TEST(TokenizerTest, TextThatIsNotUtf8IsRefusedWithThePlace) {
  const auto got = Make(SmallTokenizer())->Encode("ab\xC3(");
  EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(got.status().message()), HasSubstr("byte 2"));
}

TEST(TokenizerTest, SpecialTokensInTheTextAreOneTokenEach) {
  json file = SmallTokenizer();
  file["added_tokens"] =
      json::array({AddedTokenJson(259, "<|im_start|>", true), AddedTokenJson(260, "<|im_start|>user", true),
                   AddedTokenJson(261, "<tool>", false)});
  const auto tokenizer = Make(file);
  const auto got = tokenizer->Encode("<|im_start|>user<|im_start|><tool> <|im");
  ASSERT_TRUE(got.ok());
  EXPECT_THAT(got->ids, ElementsAre(260, 259, 261, ' ', '<', '|', 'i', 'm'));
  EXPECT_THAT(got->begins, ElementsAre(0, 16, 28, 34, 35, 36, 37, 38));
  EXPECT_EQ(tokenizer->Decode(got->ids, false), "<|im_start|>user<|im_start|><tool> <|im");
  EXPECT_EQ(tokenizer->Decode(got->ids, true), "<tool> <|im");
  EXPECT_TRUE(tokenizer->IsSpecial(259));
  EXPECT_FALSE(tokenizer->IsSpecial(261));
  EXPECT_EQ(tokenizer->vocab_size(), 262);
}

TEST(TokenizerTest, IdsOutsideTheVocabularyGiveNothing) {
  const auto tokenizer = Make(SmallTokenizer());
  EXPECT_EQ(tokenizer->Decode({-1, 'a', 259, 1 << 30, 'b'}, false), "ab");
  EXPECT_FALSE(tokenizer->IsSpecial(-1));
  EXPECT_FALSE(tokenizer->IsSpecial(1 << 30));
}

TEST(TokenizerTest, AddedTokensWithCharactersOfTheByteAlphabetDecodeAsText) {
  json file = SmallTokenizer();
  file["added_tokens"] =
      json::array({AddedTokenJson(259, "<é>", false), AddedTokenJson(260, "<｜x｜>", true)});
  const auto tokenizer = Make(file);
  const auto got = tokenizer->Encode("<é><｜x｜>");
  ASSERT_TRUE(got.ok());
  EXPECT_THAT(got->ids, ElementsAre(259, 260));
  EXPECT_EQ(tokenizer->Decode(got->ids, false), "<é><｜x｜>");
}

TEST(TokenizerTest, APrefixSpaceBelongsToTheFirstCharacter) {
  json file = SmallTokenizer();
  file["pre_tokenizer"]["add_prefix_space"] = true;
  const auto got = Make(file)->Encode("the xé");
  ASSERT_TRUE(got.ok());
  EXPECT_THAT(got->ids, ElementsAre(258, ' ', 'x', 0xC3, 0xA9));
  EXPECT_THAT(got->begins, ElementsAre(0, 3, 4, 5, 6));
  const auto split = Make(file)->Encode("xy");
  EXPECT_THAT(split->ids, ElementsAre(' ', 'x', 'y'));
  EXPECT_THAT(split->begins, ElementsAre(0, 0, 1));
}

TEST(TokenizerTest, NfcComposesAndOffsetsPointIntoTheOriginal) {
  json file = SmallTokenizer();
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", json::array({json{{"type", "NFC"}}})}};
  const auto got = Make(file)->Encode("xe\u0301y");
  ASSERT_TRUE(got.ok());
  EXPECT_THAT(got->ids, ElementsAre('x', 0xC3, 0xA9, 'y'));
  EXPECT_THAT(got->begins, ElementsAre(0, 1, 1, 4));
}

TEST(TokenizerTest, NormalizedAddedTokensMatchInEitherForm) {
  json file = SmallTokenizer();
  file["normalizer"] = {{"type", "NFC"}};
  file["added_tokens"] =
      json::array({AddedTokenJson(259, "<e\u0301>", false), AddedTokenJson(260, "[e\u0301]", false)});
  file["added_tokens"][0]["normalized"] = true;
  const auto tokenizer = Make(file);
  EXPECT_THAT(tokenizer->Encode("<é><e\u0301>")->ids, ElementsAre(259, 259));
  EXPECT_THAT(tokenizer->Encode("[e\u0301]")->ids, ElementsAre(260));
  EXPECT_THAT(tokenizer->Encode("[é]")->ids, ElementsAre('[', 0xC3, 0xA9, ']'));
}

TEST(TokenizerTest, BytesOutsideTheVocabularyAreUnknownOrVanish) {
  json file = SmallTokenizer();
  file["model"]["vocab"].erase("b");
  file["model"]["vocab"]["<unk>"] = int{'b'};
  const auto without = Make(file)->Encode("abbc");
  EXPECT_THAT(without->ids, ElementsAre('a', 'c'));
  EXPECT_THAT(without->begins, ElementsAre(0, 3));
  file["model"]["unk_token"] = "<unk>";
  EXPECT_THAT(Make(file)->Encode("abbc")->ids, ElementsAre('a', 'b', 'b', 'c'));
  file["model"]["fuse_unk"] = true;
  const auto fused = Make(file)->Encode("abbc");
  EXPECT_THAT(fused->ids, ElementsAre('a', 'b', 'c'));
  EXPECT_THAT(fused->begins, ElementsAre(0, 1, 3));
}

TEST(TokenizerTest, IgnoreMergesTakesWholeWordsOnly) {
  json file = SmallTokenizer();
  file["model"]["vocab"]["xyz"] = 259;
  EXPECT_THAT(Make(file)->Encode("xyz")->ids, ElementsAre('x', 'y', 'z'));
  file["model"]["ignore_merges"] = true;
  EXPECT_THAT(Make(file)->Encode("xyz")->ids, ElementsAre(259));
  EXPECT_THAT(Make(file)->Encode("wxyz")->ids, ElementsAre('w', 'x', 'y', 'z'));
}

TEST(TokenizerTest, MergesMayBePairs) {
  json file = SmallTokenizer();
  file["model"]["merges"] =
      json::array({json::array({"Ġ", "t"}), json::array({"h", "e"}), json::array({"Ġt", "he"})});
  EXPECT_THAT(Make(file)->Encode(" the")->ids, ElementsAre(258));
}

TEST(TokenizerTest, LongWordsAreMergedInReasonableTime) {
  const auto tokenizer = Make(SmallTokenizer());
  std::string text;
  for (int i = 0; i < (1 << 20); ++i) text += "he";
  const auto got = tokenizer->Encode(text);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->ids.size(), size_t{1} << 20);
  EXPECT_EQ(tokenizer->Decode(got->ids, false), text);
}

TEST(TokenizerTest, ConfigNamesBosAndEos) {
  json file = SmallTokenizer();
  file["added_tokens"] = json::array({AddedTokenJson(259, "<s>", true), AddedTokenJson(260, "</s>", true)});
  EXPECT_EQ(Make(file)->bos_id(), std::nullopt);
  EXPECT_EQ(Make(file)->eos_id(), std::nullopt);
  const auto plain = Make(file, R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}})");
  EXPECT_EQ(plain->bos_id(), std::nullopt);  // nothing puts it before a text
  EXPECT_EQ(plain->eos_id(), 260);
  EXPECT_EQ(Make(file, R"({"bos_token": "<s>", "add_bos_token": true})")->bos_id(), 259);
}

TEST(TokenizerTest, APostProcessorPutsBosUnlessTheConfigSaysNo) {
  json file = SmallTokenizer();
  file["added_tokens"] = json::array({AddedTokenJson(259, "<s>", true)});
  file["post_processor"] = {{"type", "Sequence"},
                            {"processors",
                             {{{"type", "ByteLevel"}},
                              {{"type", "TemplateProcessing"},
                               {"single",
                                {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
                                 {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}}}}}};
  const auto tokenizer = Make(file);
  EXPECT_EQ(tokenizer->bos_id(), 259);
  EXPECT_THAT(tokenizer->Encode("a")->ids, ElementsAre('a'));  // none is added
  EXPECT_EQ(Make(file, R"({"add_bos_token": false})")->bos_id(), std::nullopt);
}

TEST(TokenizerTest, TokensThatOnlyTheConfigNamesAreSpecialToo) {
  json file = SmallTokenizer();
  file["model"]["vocab"]["</s>"] = 259;
  EXPECT_THAT(Make(file)->Encode("</s>")->ids, ElementsAre('<', '/', 's', '>'));
  const auto tokenizer = Make(file, R"({"eos_token": "</s>", "pad_token": "<nowhere>"})");
  EXPECT_THAT(tokenizer->Encode("a</s>")->ids, ElementsAre('a', 259));
  EXPECT_TRUE(tokenizer->IsSpecial(259));
  const auto listed = Make(file, R"({"additional_special_tokens": ["</s>"]})");
  EXPECT_THAT(listed->Encode("a</s>")->ids, ElementsAre('a', 259));
}

TEST(TokenizerTest, TheConfigsAddedTokensOverrideAttributes) {
  json file = SmallTokenizer();
  file["added_tokens"] = json::array({AddedTokenJson(259, "<m>", true)});
  EXPECT_THAT(Make(file)->Encode("a <m>")->ids, ElementsAre('a', ' ', 259));
  const auto got =
      Make(file, R"({"added_tokens_decoder": {"259": {"content": "<m>", "lstrip": true, "special": true},
                                  "260": {"content": "<n>", "special": false}}})")
          ->Encode("a <m><n>");
  EXPECT_THAT(got->ids, ElementsAre('a', 259, 260));
  EXPECT_THAT(got->begins, ElementsAre(0, 1, 5));
}

struct BadFile {
  std::string name;
  std::function<void(json&)> spoil;
  std::string says;
};
void PrintTo(const BadFile& file, std::ostream* out) { *out << file.name; }
class BadTokenizerFileTest : public testing::TestWithParam<BadFile> {};

TEST_P(BadTokenizerFileTest, IsRefusedByName) {
  json file = SmallTokenizer();
  GetParam().spoil(file);
  const auto created = Tokenizer::Create(file.dump(), "");
  EXPECT_EQ(created.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(created.status().message()), HasSubstr(GetParam().says));
  EXPECT_THAT(std::string(created.status().message()), testing::StartsWith("tokenizer.json"));
}

json Split(const std::string& pattern) {
  return {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
}

INSTANTIATE_TEST_SUITE_P(
    Files, BadTokenizerFileTest,
    testing::ValuesIn<BadFile>({
        {"List", [](json& f) { f = json::array(); }, "expected an object"},
        {"Version", [](json& f) { f["version"] = "2.0"; }, "tokenizer.json: version"},
        {"NoModel", [](json& f) { f.erase("model"); }, "tokenizer.json: model: is missing"},
        {"ModelKind", [](json& f) { f["model"]["type"] = "Morfessor"; },
         "\"Morfessor\" is not supported; supported: BPE, Unigram, WordPiece, WordLevel"},
        {"Dropout", [](json& f) { f["model"]["dropout"] = 0.1; }, "model.dropout"},
        {"Prefix", [](json& f) { f["model"]["continuing_subword_prefix"] = "##"; },
         "continuing_subword_prefix"},
        {"Suffix", [](json& f) { f["model"]["end_of_word_suffix"] = "</w>"; }, "end_of_word_suffix"},
        {"EmptyVocabulary", [](json& f) { f["model"]["vocab"] = json::object(); }, "model.vocab: is empty"},
        {"VocabularyList", [](json& f) { f["model"]["vocab"] = json::array({"a"}); },
         "model.vocab: expected an object"},
        {"NegativeId", [](json& f) { f["model"]["vocab"]["a"] = -1; }, "the id of \"a\""},
        {"HugeId", [](json& f) { f["model"]["vocab"]["a"] = 2'000'000; }, "the id of \"a\""},
        {"FractionId", [](json& f) { f["model"]["vocab"]["a"] = 1.5; }, "the id of \"a\""},
        {"SameId", [](json& f) { f["model"]["vocab"]["zz"] = 7; }, "both have id 7"},
        {"LongToken", [](json& f) { f["model"]["vocab"][std::string(70'000, 'a')] = 300; },
         "more than the limit"},
        {"MergesMissing", [](json& f) { f["model"].erase("merges"); }, "model.merges: is missing"},
        {"MergeOfThree", [](json& f) { f["model"]["merges"][1] = "a b c"; },
         "model.merges[1]: expected two tokens"},
        {"MergeOfNone", [](json& f) { f["model"]["merges"][1] = json::array(); },
         "model.merges[1]: expected two tokens"},
        {"MergeOfAnEmptyPart",
         [](json& f) {
           f["model"]["merges"][1] = json::array({"", "he"});
         },
         "model.merges[1]: expected two tokens"},
        {"MergeUnknown", [](json& f) { f["model"]["merges"][2] = "Ġt x"; },
         "\"Ġtx\" is not in the vocabulary"},
        {"UnknownMissing", [](json& f) { f["model"]["unk_token"] = "<unk>"; },
         "model.unk_token: \"<unk>\" is not"},
        {"OtherNormalizer",
         [](json& f) {
           f["normalizer"] = {{"type", "Transliterate"}};
         },
         "normalizer: \"Transliterate\" is not supported; supported: BertNormalizer, ByteLevel, Lowercase, "
         "NFC"},
        {"Replace",
         [](json& f) {
           f["normalizer"] = {{"type", "Sequence"},
                              {"normalizers", json::array({json{{"type", "Replace"}}})}};
         },
         "normalizer.normalizers[0].pattern: is missing"},
        {"LongReplacement",
         [](json& f) {
           f["normalizer"] = {{"type", "Prepend"}, {"prepend", std::string(70'000, 'x')}};
         },
         "normalizer.prepend: has 70000 bytes, more than the limit"},
        {"Charsmap",
         [](json& f) {
           f["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", "AAAA"}};
         },
         "normalizer.precompiled_charsmap: is damaged"},
        {"OtherPreTokenizer",
         [](json& f) {
           f["pre_tokenizer"] = {{"type", "UnicodeScripts"}};
         },
         "pre_tokenizer: \"UnicodeScripts\" is not supported; supported: BertPreTokenizer, ByteLevel, "},
        {"MetaspaceOfTwo",
         [](json& f) {
           f["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "__"}};
         },
         "pre_tokenizer.replacement: expected one character"},
        {"MetaspaceScheme",
         [](json& f) {
           f["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "last"}};
         },
         "prepend_scheme: \"last\" is not supported; supported: always, first, never"},
        {"ManySteps",
         [](json& f) {
           json steps = json::array();
           for (int i = 0; i < 33; ++i) steps.push_back({{"type", "Digits"}});
           f["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
         },
         "has 33 steps, more than 32"},
        {"NoPattern",
         [](json& f) {
           f["pre_tokenizer"] = Split("x");
           f["pre_tokenizer"]["pretokenizers"][0]["pattern"] = json::object();
         },
         "pretokenizers[0].pattern: expected"},
        {"Behavior",
         [](json& f) {
           f["pre_tokenizer"] = Split("x");
           f["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Kept";
         },
         "behavior: \"Kept\" is not supported; supported: Removed"},
        {"BrokenPattern", [](json& f) { f["pre_tokenizer"] = Split("(a"); }, "not a regular expression"},
        {"OtherDialect", [](json& f) { f["pre_tokenizer"] = Split(R"(\h+)"); }, R"("\h" is not supported)"},
        {"DeepSequence",
         [](json& f) {
           for (int i = 0; i < 12; ++i) {
             f["pre_tokenizer"] = {{"type", "Sequence"},
                                   {"pretokenizers", json::array({f["pre_tokenizer"]})}};
           }
         },
         "nested too deep"},
        {"NoDecoder", [](json& f) { f["decoder"] = nullptr; }, "decoder: expected one ByteLevel"},
        {"OtherDecoder",
         [](json& f) {
           f["decoder"] = {{"type", "CTC"}};
         },
         "decoder: \"CTC\" is not supported; supported: ByteFallback, ByteLevel, Fuse, Metaspace, Replace"},
        {"RegexDecoder",
         [](json& f) {
           f["decoder"] = {{"type", "Replace"}, {"pattern", {{"Regex", "a+"}}}, {"content", "b"}};
         },
         "decoder.pattern: a regular expression is not supported"},
        {"ByteLevelAmongDecoders",
         [](json& f) {
           f["decoder"] = {{"type", "Sequence"}, {"decoders", {json{{"type", "Fuse"}}, f["decoder"]}}};
         },
         "ByteLevel has to be the only decoder"},
        {"OtherPostProcessor",
         [](json& f) {
           f["post_processor"] = {{"type", "Reverse"}};
         },
         "post_processor: \"Reverse\" is not supported; supported: BertProcessing, ByteLevel"},
        {"AddedIdTaken", [](json& f) { f["added_tokens"] = json::array({AddedTokenJson(7, "<x>", true)}); },
         "has id 7, but its place in the list gives it 259"},
        {"AddedIdDiffers", [](json& f) { f["added_tokens"] = json::array({AddedTokenJson(7, "he", true)}); },
         "has id 7, but the vocabulary gives it 257"},
        {"AddedGap", [](json& f) { f["added_tokens"] = json::array({AddedTokenJson(300, "<x>", true)}); },
         "gives it 259"},
        {"AddedLong",
         [](json& f) {
           f["added_tokens"] = json::array({AddedTokenJson(259, std::string(2000, 'x'), true)});
         },
         "more than the limit of 1024"},
        {"AddedTogether",
         [](json& f) {
           // Each is within its own limit.
           f["added_tokens"] = json::array();
           for (int i = 0; i < 8200; ++i) {
             const std::string number = std::to_string(i);
             f["added_tokens"].push_back(
                 AddedTokenJson(259 + i, number + std::string(1024 - number.size(), 'x'), true));
           }
         },
         "its added tokens together have more than the limit of 8 MiB"},
        {"AddedNoContent",
         [](json& f) {
           f["added_tokens"] = json::array({json{{"id", 259}}});
         },
         "added_tokens[0].content: is missing"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(BadTokenizerFileTest, WhatIsNotJsonIsRefusedWithThePlace) {
  for (const char* const text : {"", "{", "\x01", "{\"a\": 1, \"a\": 2}", "\xFF"}) {
    const auto created = Tokenizer::Create(text, "");
    EXPECT_EQ(created.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(created.status().message()), testing::StartsWith("tokenizer.json")) << text;
  }
}

TEST(BadTokenizerFileTest, EveryTruncationIsRefused) {
  const std::string text = SmallTokenizer().dump();
  for (size_t size = 0; size < text.size(); size += 37) {
    EXPECT_FALSE(Tokenizer::Create(absl::string_view(text).substr(0, size), "").ok()) << size;
  }
}

TEST(BadTokenizerConfigTest, IsRefusedByName) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[]", "expected an object"},
      {R"({"eos_token": "</s>"})", "eos_token: \"</s>\" is not in the vocabulary"},
      {R"({"eos_token": 7})", "eos_token: expected a string, found 7"},
      {R"({"add_bos_token": true})", "add_bos_token: is true, but there is no bos_token"},
      {R"({"add_bos_token": "yes"})", "add_bos_token: expected true or false"},
      {R"({"added_tokens_decoder": {"x": {}}})", "the key \"x\" is no id"},
      {R"({"added_tokens_decoder": {"-1": {"content": "a"}}})", "the id is outside"},
      {R"({"additional_special_tokens": 3})", "expected a list"},
      {"{", "is not JSON"},
  };
  for (const auto& [config, says] : cases) {
    const auto created = Tokenizer::Create(SmallTokenizer().dump(), config);
    EXPECT_EQ(created.status().code(), absl::StatusCode::kInvalidArgument) << config;
    EXPECT_THAT(std::string(created.status().message()), HasSubstr(says)) << config;
    EXPECT_THAT(std::string(created.status().message()), testing::StartsWith("tokenizer_config.json"))
        << config;
  }
}

}  // namespace
}  // namespace vernier::data
