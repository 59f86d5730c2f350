#include "client/cli/terminal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "client/cli/line_chart.h"

namespace vernier::cli {
namespace {

using testing::Each;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

TEST(DetectTerminalTest, ObeysTheEnvironment) {
  ::setenv("COLUMNS", "123", 1);
  ::setenv("LC_ALL", "de_DE.UTF-8", 1);
  EXPECT_EQ(DetectTerminal().width, 123);
  EXPECT_TRUE(DetectTerminal().unicode);
  EXPECT_FALSE(DetectTerminal().colour) << "a test's output is no terminal";
  ::setenv("COLUMNS", "3", 1);
  ::setenv("LC_ALL", "C", 1);
  EXPECT_EQ(DetectTerminal().width, 40);
  EXPECT_FALSE(DetectTerminal().unicode);
}

TEST(DisplayWidthTest, CountsWhatIsSeen) {
  EXPECT_EQ(DisplayWidth("abc"), 3);
  EXPECT_EQ(DisplayWidth("a\u0301"), 1) << "a combining mark";
  EXPECT_EQ(DisplayWidth("\u6f22\u5b57"), 4) << "wide characters";
  EXPECT_EQ(DisplayWidth("\xff"), 1);
}

struct FitCase {
  std::string name, text;
  int columns;
  bool unicode;
  std::string want;
};
class FitLineTest : public testing::TestWithParam<FitCase> {};

TEST_P(FitLineTest, IsOneLineOfThatWidth) {
  const std::string line = FitLine(GetParam().text, GetParam().columns, GetParam().unicode);
  EXPECT_EQ(line, GetParam().want);
  EXPECT_LE(DisplayWidth(line), GetParam().columns);
}

INSTANTIATE_TEST_SUITE_P(Cases, FitLineTest,
                         testing::ValuesIn<FitCase>({
                             {"Fits", "hello", 5, true, "hello"},
                             {"Cut", "hello there", 8, true, "hello t\u2026"},
                             {"CutInAscii", "hello there", 8, false, "hello..."},
                             {"Spaces", "  a \n\t b  ", 9, true, "a b"},
                             {"Escape", "a\033[31mb", 9, true, "a [31mb"},
                             {"Wide", "\u6f22\u5b57\u6f22", 5, true, "\u6f22\u5b57\u2026"},
                             {"NotAscii", "na\u00efve", 9, false, "na?ve"},
                             {"NoUtf8", "a\xffz", 9, true, "a\uFFFDz"},
                         }),
                         [](const auto& info) { return info.param.name; });

TEST(FitLineEndTest, KeepsTheEnd) {
  EXPECT_EQ(FitLineEnd("hello  there\n", 40, true), "hello there");
  EXPECT_EQ(FitLineEnd("hello there", 7, true), "\u2026there");
  EXPECT_EQ(FitLineEnd("hello there", 8, false), "...there");
  EXPECT_LE(DisplayWidth(FitLineEnd("\u6f22\u5b57\u6f22", 4, true)), 4);
}

TEST(AlignedTableTest, PadsByWhatIsSeen) {
  const Terminal terminal{.width = 60, .unicode = true};
  EXPECT_EQ(
      AlignedTable({{"NAME", "N", "LAST"}, {"\u6f22", "7", "x"}, {"abcdef", "123", "y"}}, {1}, terminal),
      "NAME      N  LAST\n"
      "\u6f22        7  x\n"
      "abcdef  123  y\n");
}

std::vector<std::string> Lines(const std::string& chart) {
  return absl::StrSplit(chart, '\n', absl::SkipEmpty());
}

const Curve kTrain{
    .name = "A train loss", .points = {{0, 4}, {10, 2}, {20, 1}}, .mark = 'a', .symbol = "\u25cb"};
const Curve kValid{.name = "A validation loss",
                   .points = {{0, 3}, {20, 2}},
                   .mark = 'A',
                   .symbol = "\u25cf",
                   .sparse = true};

TEST(LineChartTest, FitsTheTerminalAndNamesTheCurves) {
  for (const int width : {40, 57, 200}) {
    const std::string chart = LineChart({kTrain, kValid}, 9, {.width = width, .unicode = true});
    for (const std::string& line : Lines(chart)) EXPECT_LE(DisplayWidth(line), width) << line;
    EXPECT_THAT(chart, HasSubstr("\u25cb A train loss"));
    EXPECT_THAT(chart, HasSubstr("\u25cf A validation loss"));
    EXPECT_THAT(chart, HasSubstr("step 20"));
  }
}

TEST(LineChartTest, WithoutUnicodeItIsAscii) {
  const std::string chart = LineChart({kTrain, kValid}, 9, {.width = 60});
  for (const char c : chart) EXPECT_TRUE(c == '\n' || (c >= ' ' && c < 0x7F)) << static_cast<int>(c);
  const std::vector<std::string> lines = Lines(chart);
  EXPECT_EQ(lines[0], "        4 |a");
  EXPECT_EQ(lines[8].back(), 'a');
  EXPECT_EQ(lines[3], "          |A") << "3 of 1 to 4, in 9 lines";
}

TEST(LineChartTest, ANoisyCurveIsOneLine) {
  Curve noisy{.name = "noisy", .mark = '*'};
  for (int step = 0; step < 10'000; ++step) noisy.points.emplace_back(step, step % 2 == 0 ? 0.0 : 10.0);
  const std::string chart = LineChart({noisy}, 9, {.width = 60});
  int marks = 0;
  for (const char c : chart) marks += c == '*';
  EXPECT_EQ(marks, 48 + 1) << "one a column, and the legend";
}

TEST(LineChartTest, ColourIsUsedWhereItIsShown) {
  EXPECT_THAT(LineChart({kTrain}, 5, {.width = 60, .colour = true}), HasSubstr("\033[38;5;"));
  EXPECT_THAT(LineChart({kTrain}, 5, {.width = 60}), Not(HasSubstr("\033")));
}

TEST(LineChartTest, NothingFiniteIsNoChart) {
  EXPECT_EQ(LineChart({}, 5, {}), "");
  EXPECT_EQ(LineChart({{.name = "x", .points = {{1, NAN}, {2, INFINITY}}}}, 5, {}), "");
  EXPECT_THAT(LineChart({{.name = "x", .points = {{1, NAN}, {2, 3}}}}, 5, {}), Not(HasSubstr("nan")));
}

}  // namespace
}  // namespace vernier::cli
