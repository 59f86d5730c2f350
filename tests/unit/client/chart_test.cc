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

v1::MetricPoint Point(const std::string& stage, int64_t step, const std::string& name, double value) {
  v1::MetricPoint point;
  point.set_stage(stage);
  point.set_step(step);
  (*point.mutable_values())[name] = value;
  return point;
}

TEST(LossSeriesTest, StagesAreNotMixedAndAreNamedWhereThereAreSeveral) {
  const std::vector<v1::MetricPoint> points = {Point("a", 1, "train_loss", 4), Point("a", 2, "train_loss", 3),
                                               Point("b", 1, "train_loss", 2), Point("b", 1, "grad_norm", 9),
                                               Point("b", 2, "valid_loss", 1)};
  const std::vector<Series> series = LossSeries(points);
  ASSERT_EQ(series.size(), 3u);
  EXPECT_EQ(series[0].name, "a train loss");
  EXPECT_THAT(series[0].points, testing::ElementsAre(testing::Pair(1, 4), testing::Pair(2, 3)));
  EXPECT_EQ(series[1].name, "b train loss");
  EXPECT_EQ(series[2].name, "b validation loss");
  EXPECT_EQ(LossSeries({points[0]}).at(0).name, "train loss");
  EXPECT_TRUE(LossSeries({}).empty());
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
