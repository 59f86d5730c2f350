// The small parts under the tokenizer: byte alphabet, added tokens, form C, streamed decoding.
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/worker_text/tokenizer_files.h"
#include "worker/data/text/added_tokens.h"
#include "worker/data/text/aligned_text.h"
#include "worker/data/text/byte_level.h"
#include "worker/data/text/decode_stream.h"
#include "worker/data/text/tokenizer.h"
#include "worker/data/text/unicode_form.h"

namespace vernier::data {
namespace {

using testing::ElementsAre;

TEST(ByteLevelTest, EveryByteHasASymbolOfItsOwn) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  EXPECT_EQ(BytesOfSymbols(SymbolsOfBytes(all)), all);
  EXPECT_EQ(SymbolsOfBytes(" the\n"), "ĠtheĊ");
  EXPECT_EQ(BytesOfSymbols("a b"), std::nullopt);
  EXPECT_EQ(BytesOfSymbols("日"), std::nullopt);
}

std::vector<std::string> Stretches(const AddedTokenMatcher& matcher, absl::string_view text) {
  std::vector<std::string> found;
  std::vector<AddedTokenMatch> matches;
  matcher.Find(text, &matches);
  for (const AddedTokenMatch& m : matches) {
    const std::string piece(text.substr(m.begin, m.end - m.begin));
    found.push_back(m.token < 0 ? piece : absl::StrCat(m.token, ":", piece));
  }
  return found;
}

TEST(AddedTokenMatcherTest, TheLongestOfTheLeftmostWins) {
  const AddedTokenMatcher matcher({{"ab"}, {"abcd"}, {"bcdef"}});
  EXPECT_THAT(Stretches(matcher, "xabcdef"), ElementsAre("x", "1:abcd", "ef"));
  EXPECT_THAT(Stretches(matcher, "abcab"), ElementsAre("0:ab", "c", "0:ab"));
  EXPECT_THAT(Stretches(matcher, ""), ElementsAre());
  EXPECT_THAT(Stretches(AddedTokenMatcher(), "abc"), ElementsAre("abc"));
}

// Every place tried with every pattern.
std::vector<std::string> StretchesByTrial(const std::vector<AddedTokenMatcher::Pattern>& patterns,
                                          absl::string_view text) {
  std::vector<std::string> found;
  std::string between;
  for (size_t at = 0; at < text.size();) {
    int best = -1;
    for (size_t i = 0; i < patterns.size(); ++i) {
      const bool longer = best < 0 || patterns[i].text.size() > patterns[best].text.size();
      if (longer && absl::StartsWith(text.substr(at), patterns[i].text)) best = static_cast<int>(i);
    }
    if (best < 0) {
      between += text[at++];
      continue;
    }
    if (!between.empty()) found.push_back(std::exchange(between, ""));
    found.push_back(absl::StrCat(best, ":", patterns[best].text));
    at += patterns[best].text.size();
  }
  if (!between.empty()) found.push_back(between);
  return found;
}

TEST(AddedTokenMatcherTest, FindsWhatTryingEveryPlaceFinds) {
  std::mt19937 random(3);
  const auto word = [&](size_t longest) {
    std::string text(1 + random() % longest, 'a');
    for (char& c : text) c = static_cast<char>('a' + random() % 2);
    return text;
  };
  for (int round = 0; round < 2000; ++round) {
    std::vector<AddedTokenMatcher::Pattern> patterns(1 + random() % 6);
    for (auto& pattern : patterns) pattern.text = word(6);
    const std::string text = word(40);
    ASSERT_EQ(Stretches(AddedTokenMatcher(patterns), text), StretchesByTrial(patterns, text)) << text;
  }
}

TEST(AddedTokenMatcherTest, NearMatchesCostNoMoreThanOtherText) {
  // Each place begins 20,000 bytes of a pattern: trying each takes 10^11 steps.
  const AddedTokenMatcher matcher({{std::string(20000, 'a') + "b"}});
  const std::string text(8 << 20, 'a');
  EXPECT_EQ(Stretches(matcher, text).size(), 1u);
}

TEST(AddedTokenMatcherTest, StrippingTakesTheSpaceAround) {
  const AddedTokenMatcher matcher({{.text = "<m>", .lstrip = true, .rstrip = true}});
  EXPECT_THAT(Stretches(matcher, "a \t<m>\u3000\n<m> b"),
              ElementsAre("a", "0: \t<m>\u3000\n", "0:<m> ", "b"));
}

TEST(AddedTokenMatcherTest, SingleWordsStandAlone) {
  const AddedTokenMatcher matcher({{.text = "<w>", .single_word = true}});
  EXPECT_THAT(Stretches(matcher, "<w> a<w> (<w>)<w>é"), ElementsAre("0:<w>", " a<w> (", "0:<w>", ")<w>é"));
}

AlignedText InForm(UnicodeForm form, absl::string_view text) {
  AlignedText aligned(text, 0);
  EXPECT_TRUE(ApplyForm(form, aligned).ok());
  return aligned;
}

std::vector<size_t> Origins(const AlignedText& text) {
  std::vector<size_t> origins;
  for (size_t at = 0; at < text.text().size(); ++at) origins.push_back(text.Origin(at));
  return origins;
}

TEST(UnicodeFormTest, KeepsTheOriginOfEveryByte) {
  const AlignedText got = InForm(UnicodeForm::kNfc, "ae\u0301\u0302é\u0958");
  EXPECT_EQ(got.text(), "aé\u0302é\u0915\u093c");
  EXPECT_THAT(Origins(got), ElementsAre(0, 1, 1, 4, 5, 6, 7, 8, 8, 8, 8, 8, 8));
}

TEST(UnicodeFormTest, TheOtherFormsDecomposeAndReplaceCompatibles) {
  EXPECT_EQ(InForm(UnicodeForm::kNfd, "é½").text(), "e\u0301½");
  EXPECT_EQ(InForm(UnicodeForm::kNfkd, "é½").text(), "e\u03011\u20442");
  EXPECT_EQ(InForm(UnicodeForm::kNfkc, "e\u0301 ﬁ Ａ").text(), "é fi A");
  EXPECT_THAT(Origins(InForm(UnicodeForm::kNfkc, "aﬁb")), ElementsAre(0, 1, 1, 4));
}

TEST(UnicodeFormTest, TextThatCannotChangeIsKnown) {
  EXPECT_FALSE(MayChangeUnder(UnicodeForm::kNfc, "plain ascii, café, Straße"));
  EXPECT_TRUE(MayChangeUnder(UnicodeForm::kNfc, "e\u0301"));
  EXPECT_TRUE(MayChangeUnder(UnicodeForm::kNfc, "日本"));
  EXPECT_TRUE(MayChangeUnder(UnicodeForm::kNfd, "café"));
  EXPECT_TRUE(MayChangeUnder(UnicodeForm::kNfkc, "½"));
}

TEST(UnicodeFormTest, LongRunsOfMarksAreSortedInReasonableTime) {
  std::string text = "a";
  for (int i = 0; i < 500'000; ++i) text += i % 2 == 0 ? "\u0301" : "\u0323";
  const AlignedText got = InForm(UnicodeForm::kNfc, text);
  EXPECT_EQ(got.text().substr(0, 3), "\u1EA1");  // a with the dot, as it sorts first
  EXPECT_EQ(got.text().size(), 3 + 2 * size_t{499'999});
}

TEST(AlignedTextTest, SlicesAndEditsRememberWhereBytesCameFrom) {
  AlignedText text("abcdef", 10);
  AlignedText::Editor editor(text);
  editor.Keep(0, 2);
  editor.Insert("XYZ", 3);
  editor.Keep(4, 6);
  ASSERT_TRUE(editor.Finish().ok());
  EXPECT_EQ(text.text(), "abXYZef");
  EXPECT_THAT(Origins(text), ElementsAre(10, 11, 13, 13, 13, 14, 15));
  const AlignedText slice = text.Slice(4, 6);
  EXPECT_EQ(slice.text(), "Ze");
  EXPECT_THAT(Origins(slice), ElementsAre(13, 14));
}

TEST(AlignedTextTest, GrowthBeyondMeasureIsRefused) {
  AlignedText text("a", 0);
  AlignedText::Editor editor(text);
  for (int i = 0; i < 100; ++i) editor.Insert(std::string(1000, 'x'), 0);
  const absl::Status status = editor.Finish();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("longer than 65568"));
}

class DecodeStreamTest : public testing::Test {
 protected:
  DecodeStreamTest() { tokenizer_ = Tokenizer::Create(SmallTokenizer().dump(), "").value(); }
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(DecodeStreamTest, HoldsBackACharacterUntilItIsWhole) {
  DecodeStream stream(*tokenizer_, true);
  EXPECT_EQ(stream.Push('a'), "a");
  EXPECT_EQ(stream.Push(0xF0), "");
  EXPECT_EQ(stream.Push(0x9F), "");
  EXPECT_EQ(stream.Push(0x98), "");
  EXPECT_EQ(stream.Push(0x80), "😀");
  EXPECT_EQ(stream.Push(258), " the");
  EXPECT_EQ(stream.Finish(), "");
}

TEST_F(DecodeStreamTest, BrokenBytesBecomeReplacementCharacters) {
  DecodeStream stream(*tokenizer_, true);
  EXPECT_EQ(stream.Push(0x80), "\uFFFD");
  EXPECT_EQ(stream.Push(0xE2), "");
  EXPECT_EQ(stream.Push('x'), "\uFFFDx");
  EXPECT_EQ(stream.Push(0xE0), "");
  EXPECT_EQ(stream.Push(0x80), "\uFFFD\uFFFD");  // an overlong form
  EXPECT_EQ(stream.Push(0xF0), "");
  EXPECT_EQ(stream.Push(0x9F), "");
  EXPECT_EQ(stream.Finish(), "\uFFFD");
  EXPECT_EQ(stream.Finish(), "");
  EXPECT_EQ(stream.Push('a'), "a");
}

TEST_F(DecodeStreamTest, PiecesJoinedAreTheWholeText) {
  // Every sequence of these bytes of length 4: whole, broken and overlong characters.
  const std::vector<int32_t> bytes = {'a',  0x80, 0x9F, 0xA0, 0xBF, 0xC1, 0xC3,
                                      0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF5};
  const size_t n = bytes.size();
  for (size_t code = 0; code < n * n * n * n; ++code) {
    const std::vector<int32_t> ids = {bytes[code % n], bytes[code / n % n], bytes[code / n / n % n],
                                      bytes[code / n / n / n]};
    DecodeStream stream(*tokenizer_, false);
    std::string joined;
    for (const int32_t id : ids) joined += stream.Push(id);
    joined += stream.Finish();
    ASSERT_EQ(joined, DecodeText(*tokenizer_, ids, false));
    ASSERT_EQ(FirstInvalidUtf8(joined), absl::string_view::npos);
  }
}

}  // namespace
}  // namespace vernier::data
