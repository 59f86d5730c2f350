#include "client/cli/chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"

namespace vernier::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ChartTest, TextPutsTheHighestValueOnTopAndTheLastStepRight) {
  const std::string chart = TextChart({{"loss", {{0, 4.0}, {10, 2.0}, {20, 1.0}}, false}}, 21, 5);
  const std::vector<std::string> lines = absl::StrSplit(chart, '\n');
  ASSERT_GE(lines.size(), 7u);
  EXPECT_EQ(lines[0], "        4 |.                    ");
  EXPECT_EQ(lines[4].substr(0, 11), "        1 |");
  EXPECT_EQ(lines[4].back(), '.');
  EXPECT_THAT(lines[6], HasSubstr("step 20"));
}

TEST(ChartTest, NothingToDrawIsNoChart) {
  EXPECT_EQ(TextChart({{"loss", {}, false}}, 20, 5), "");
  EXPECT_THAT(SvgChart({{"loss", {}, false}}, "t", "x", "y"), HasSubstr("no points yet"));
}

TEST(ChartTest, OnePointAndNonFiniteValuesAreDrawnWithoutNonsense) {
  const std::vector<Series> series = {{"loss", {{3, 2.0}, {4, NAN}, {5, INFINITY}}, true}};
  EXPECT_THAT(TextChart(series, 20, 5), HasSubstr("."));
  const std::string svg = SvgChart(series, "t", "x", "y");
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
}

TEST(ChartTest, SvgEscapesNamesAndHoldsEveryPoint) {
  const std::string svg = SvgChart({{"a<b", {{0, 1}, {1, 2}, {2, 3}}, true}}, "x & y", "step", "loss");
  EXPECT_THAT(svg, HasSubstr("a&lt;b"));
  EXPECT_THAT(svg, HasSubstr("x &amp; y"));
  size_t circles = 0;
  for (size_t at = svg.find("<circle"); at != std::string::npos; at = svg.find("<circle", at + 1)) ++circles;
  EXPECT_EQ(circles, 3u);
}

}  // namespace
}  // namespace vernier::cli
