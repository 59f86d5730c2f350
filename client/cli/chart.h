// Curves: in the terminal and as a picture.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "vernier/v1/job.pb.h"

namespace vernier::cli {

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;  // (step, value), rising steps
  bool marks = false;                             // few points: draw them as dots joined by a line
};

// Train and validation loss of each stage, in order of appearance; named after the stage where there are
// several. `points` rise in step within a stage.
std::vector<Series> LossSeries(absl::Span<const v1::MetricPoint> points);

// About `width` x `height` characters with axes; "" when no series has a point.
std::string TextChart(const std::vector<Series>& series, int width, int height);

// A self-contained SVG picture with axes, legend and title.
std::string SvgChart(const std::vector<Series>& series, absl::string_view title, absl::string_view x_label,
                     absl::string_view y_label);

}  // namespace vernier::cli
