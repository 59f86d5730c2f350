// Pictures inside a page: coloured by the page's style sheet (classes, no colours of their own), so that they
// follow light and dark. They carry a title and a description for readers that cannot see them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace vernier::cli {

struct PlotLine {
  std::string name;
  std::vector<std::pair<double, double>> points;  // (x, y), rising x; what is not finite is left out
  int colour = 1;                                 // class c1 to c6
  bool marks = false;                             // few points: dots joined by a line
  bool smooth = false;                            // also a smoothed line, the points themselves faint
};

struct Plot {
  std::string id;  // unique in the page: [a-z0-9-]
  std::string title, x_label, y_label;
  std::vector<PlotLine> lines;
  bool wide = false;       // drawn for the whole width of a page, else for half of it
  bool from_zero = false;  // the axis of y begins at 0
  bool log_y = false;      // where every value is above 0
};

// "" when no line has a finite point. Lines of many points are drawn by the mean of each of about 600
// columns.
std::string SvgPlot(const Plot& plot);

// Rows of a bar chart: label, value and what is said of it.
struct Bar {
  std::string label;
  double value = 0.0;
  std::string note;  // said where the pointer is over it
};
// Upright bars, labels below. "" without a value above 0.
std::string SvgBars(absl::string_view id, absl::string_view title, absl::string_view x_label,
                    const std::vector<Bar>& bars);

// Spans of time on lines of their own.
struct TimeSpan {
  std::string label, note;
  double begin = 0.0, end = 0.0;  // seconds from the left edge
  int colour = 1;
};
std::string SvgTimeline(absl::string_view id, absl::string_view title, const std::vector<TimeSpan>& spans);

}  // namespace vernier::cli
