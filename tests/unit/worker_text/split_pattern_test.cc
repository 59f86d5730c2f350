#include "worker/data/text/split_pattern.h"

#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vernier::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

std::vector<std::pair<size_t, size_t>> Matches(const SplitPattern& pattern, absl::string_view text) {
  CpuBudget budget(absl::Seconds(60));
  std::vector<std::pair<size_t, size_t>> found;
  const absl::Status status =
      pattern.FindAll(text, budget, [&](size_t begin, size_t end) { found.emplace_back(begin, end); });
  EXPECT_TRUE(status.ok()) << status;
  return found;
}

std::vector<std::pair<size_t, size_t>> Matches(absl::string_view pattern, absl::string_view text) {
  const absl::StatusOr<SplitPattern> made = SplitPattern::Regex(pattern);
  EXPECT_TRUE(made.ok()) << made.status();
  return Matches(*made, text);
}

TEST(SplitPatternTest, FindsMatchesFromLeftToRight) {
  EXPECT_THAT(Matches("a+", "aabaXa"), ElementsAre(Pair(0, 2), Pair(3, 4), Pair(5, 6)));
  EXPECT_TRUE(Matches("a+", "").empty());
}

TEST(SplitPatternTest, AnEmptyMatchRightBehindAnotherDoesNotCount) {
  EXPECT_THAT(Matches("x*", "axb"), ElementsAre(Pair(0, 0), Pair(1, 2), Pair(3, 3)));
  EXPECT_THAT(Matches("(?=é)", "éaé"), ElementsAre(Pair(0, 0), Pair(3, 3)));
}

TEST(SplitPatternTest, LiteralsAreNoExpressions) {
  const absl::StatusOr<SplitPattern> literal = SplitPattern::Literal("a.(");
  ASSERT_TRUE(literal.ok());
  EXPECT_THAT(Matches(*literal, "axb(a.(a."), ElementsAre(Pair(4, 7)));
}

TEST(SplitPatternTest, MatchesFarApartAreFound) {
  const std::string text = std::string(100'000, 'x') + "1" + std::string(100'000, 'y') + "2";
  EXPECT_THAT(Matches(R"(\d)", text), ElementsAre(Pair(100'000, 100'001), Pair(200'001, 200'002)));
}

TEST(SplitPatternTest, PiecesThatTheEnginesReadDifferentlyAreRewritten) {
  EXPECT_THAT(Matches("$", "a\nb"), ElementsAre(Pair(1, 1), Pair(3, 3)));
  EXPECT_THAT(Matches(R"(\A +| +\z)", "  a \n b "), ElementsAre(Pair(0, 2), Pair(7, 8)));
  EXPECT_THAT(Matches(R"(\v)", "\x0B\x0C\n"), ElementsAre(Pair(0, 1)));
  EXPECT_THAT(Matches("x{,2}y", "xxxy"), ElementsAre(Pair(1, 4)));
  EXPECT_THAT(Matches("{a}", "{a}"), ElementsAre(Pair(0, 3)));
  EXPECT_THAT(Matches(R"(\w+)", "e\u0301"), ElementsAre(Pair(0, 3)));
  EXPECT_THAT(Matches(R"([^\w])", "e\u0301-"), ElementsAre(Pair(3, 4)));
  EXPECT_THAT(Matches("(?i:'s)", "'S'\u017F"), ElementsAre(Pair(0, 2), Pair(2, 5)));
}

struct Refusal {
  std::string pattern;
  std::string says;
};
void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.pattern.substr(0, 40); }
class RefusedPatternTest : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedPatternTest, SaysWhatAndWhere) {
  const absl::StatusOr<SplitPattern> made = SplitPattern::Regex(GetParam().pattern);
  EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(made.status().message()), HasSubstr(GetParam().says));
}

INSTANTIATE_TEST_SUITE_P(Patterns, RefusedPatternTest,
                         testing::ValuesIn<Refusal>({
                             {"", "empty"},
                             {"^a", "\"^\" is not supported, at byte 0"},
                             {R"(a\h)", "at byte 1"},
                             {R"(\Z)", "not supported"},
                             {R"([\A])", "inside a class"},
                             {R"(\1)", "not supported"},
                             {R"(\p{Klingon})", "the property \"Klingon\""},
                             {R"(\pL)", "without {name}"},
                             {"[[:alpha:]]", "inside a class"},
                             {"[a&&b]", "\"&&\""},
                             {"[]a]", "starts with \"]\""},
                             {"[a", "a class without"},
                             {R"([\W])", "inside a class"},
                             {"(?m:a)", "the group"},
                             {"(?<name>a)", "the group"},
                             {"(?i:ss)", "inside (?i:"},
                             {"(?i:é)", "beyond ASCII"},
                             {"(?i:[é])", "beyond ASCII"},
                             {R"((?i:\p{L}))", "inside (?i:"},
                             {"a{1,2}+", "a repeated repeat"},
                             {"a{2}?", "a repeated repeat"},
                             {"a+++", "a repeated repeat"},
                             {R"(\xE9)", "beyond 7F"},
                             {R"(\u12)", "the escape"},
                             {"a\\", "a backslash at the end"},
                             {"(*ACCEPT)", "not a regular expression"},
                             {"(a", "not a regular expression"},
                             {"a)", "not a regular expression"},
                             {std::string(20'000, 'a'), "more than the limit"},
                             {std::string(1000, '('), "not a regular expression"},
                         }));

// Of the square of the text's length, or worse.
class SlowPatternTest : public testing::TestWithParam<std::string> {};

TEST_P(SlowPatternTest, StopsWhenItsBudgetIsSpent) {
  const absl::StatusOr<SplitPattern> pattern = SplitPattern::Regex(GetParam());
  ASSERT_TRUE(pattern.ok()) << pattern.status();
  const std::string text = std::string(2 << 20, ' ') + "a";
  CpuBudget budget(absl::Milliseconds(50));
  const absl::Status status = pattern->FindAll(text, budget, [](size_t, size_t) {});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("shorten the text"));
}

INSTANTIATE_TEST_SUITE_P(Patterns, SlowPatternTest,
                         testing::Values(R"(\s+$)", R"((?:\s*)*b)", R"((?:\s+\s+)+b)", R"((?: |\s)+b)"));

}  // namespace
}  // namespace vernier::data
