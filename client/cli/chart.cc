#include "client/cli/chart.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace vernier::cli {
namespace {

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void Add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
  void Widen() {
    if (high - low < 1e-12) {
      low -= 0.5;
      high += 0.5;
    }
  }
  double Share(double value) const { return (value - low) / (high - low); }
};

// Steps of 1, 2 or 5 times a power of ten, about `count` of them.
double TickStep(const Range& range, int count) {
  const double rough = (range.high - range.low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  const double share = rough / power;
  return power * (share < 1.5 ? 1 : share < 3.5 ? 2 : share < 7.5 ? 5 : 10);
}

std::pair<Range, Range> RangesOf(const std::vector<Series>& series) {
  Range x, y;
  for (const Series& one : series) {
    for (const auto& [step, value] : one.points) {
      x.Add(step);
      y.Add(value);
    }
  }
  x.Widen();
  y.Widen();
  return {x, y};
}

bool Empty(const std::vector<Series>& series) {
  return std::all_of(series.begin(), series.end(), [](const Series& one) { return one.points.empty(); });
}

std::string Number(double value) { return absl::StrFormat("%.4g", value); }

std::string Escaped(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}});
}

}  // namespace

std::vector<Series> LossSeries(absl::Span<const v1::MetricPoint> points) {
  std::vector<std::string> stages;
  for (const v1::MetricPoint& point : points) {
    if (std::find(stages.begin(), stages.end(), point.stage()) == stages.end())
      stages.push_back(point.stage());
  }
  std::vector<Series> all;
  for (const std::string& stage : stages) {
    const std::string prefix = stages.size() > 1 ? absl::StrCat(stage, " ") : "";
    Series train{absl::StrCat(prefix, "train loss"), {}, false};
    Series valid{absl::StrCat(prefix, "validation loss"), {}, true};
    for (const v1::MetricPoint& point : points) {
      if (point.stage() != stage) continue;
      const double step = static_cast<double>(point.step());
      if (const auto it = point.values().find("train_loss"); it != point.values().end()) {
        train.points.emplace_back(step, it->second);
      }
      if (const auto it = point.values().find("valid_loss"); it != point.values().end()) {
        valid.points.emplace_back(step, it->second);
      }
    }
    for (Series* series : {&train, &valid}) {
      if (!series->points.empty()) all.push_back(std::move(*series));
    }
  }
  return all;
}

std::string TextChart(const std::vector<Series>& series, int width, int height) {
  if (Empty(series)) return "";
  const auto [x, y] = RangesOf(series);
  std::vector<std::string> grid(height, std::string(width, ' '));
  static constexpr char kMarks[] = {'.', 'o', 'x', '+', '*'};
  std::string legend;
  for (size_t i = 0; i < series.size(); ++i) {
    const char mark = kMarks[i % std::size(kMarks)];
    for (const auto& [step, value] : series[i].points) {
      if (!std::isfinite(value)) continue;
      const int column = static_cast<int>(std::lround(x.Share(step) * (width - 1)));
      const int row = static_cast<int>(std::lround((1 - y.Share(value)) * (height - 1)));
      grid[row][column] = mark;
    }
    absl::StrAppend(&legend, legend.empty() ? "" : "   ", std::string(1, mark), " ", series[i].name);
  }
  std::string chart;
  for (int row = 0; row < height; ++row) {
    const bool labelled = row == 0 || row == height - 1 || row == height / 2;
    const double value = y.high - (y.high - y.low) * row / (height - 1);
    absl::StrAppend(&chart, absl::StrFormat("%9s |", labelled ? Number(value) : ""), grid[row], "\n");
  }
  absl::StrAppend(&chart, std::string(10, ' '), "+", std::string(width, '-'), "\n");
  const std::string left = Number(x.low), right = absl::StrCat("step ", Number(x.high));
  absl::StrAppend(&chart, std::string(11, ' '), left,
                  std::string(std::max<int>(1, width - static_cast<int>(left.size() + right.size())), ' '),
                  right, "\n", std::string(11, ' '), legend, "\n");
  return chart;
}

std::string SvgChart(const std::vector<Series>& series, absl::string_view title, absl::string_view x_label,
                     absl::string_view y_label) {
  constexpr double kWidth = 760, kHeight = 420, kLeft = 64, kRight = 20, kTop = 44, kBottom = 52;
  static constexpr const char* kColours[] = {"#8fb3d9", "#d9480f", "#2b8a3e", "#862e9c", "#364fc7"};
  const auto [x, y] = RangesOf(series);
  const auto px = [&, range = x](double value) {
    return kLeft + range.Share(value) * (kWidth - kLeft - kRight);
  };
  const auto py = [&, range = y](double value) {
    return kTop + (1 - range.Share(value)) * (kHeight - kTop - kBottom);
  };
  std::string svg = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" font-family=\"sans-serif\" "
      "font-size=\"12\">\n"
      "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n"
      "<text x=\"%g\" y=\"24\" font-size=\"15\" font-weight=\"bold\" fill=\"#212529\">%s</text>\n",
      kWidth, kHeight, kLeft, Escaped(title));
  if (Empty(series)) return svg + "<text x=\"64\" y=\"210\">no points yet</text>\n</svg>\n";
  const double y_step = TickStep(y, 6);
  for (double tick = std::ceil(y.low / y_step) * y_step; tick <= y.high + 1e-9; tick += y_step) {
    absl::StrAppendFormat(&svg,
                          "<line x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#e9ecef\"/>"
                          "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\" fill=\"#495057\">%s</text>\n",
                          kLeft, kWidth - kRight, py(tick), py(tick), kLeft - 8, py(tick) + 4, Number(tick));
  }
  const double x_step = TickStep(x, 8);
  for (double tick = std::ceil(x.low / x_step) * x_step; tick <= x.high + 1e-9; tick += x_step) {
    absl::StrAppendFormat(&svg,
                          "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\" fill=\"#495057\">%s</text>\n",
                          px(tick), kHeight - kBottom + 18, Number(tick));
  }
  absl::StrAppendFormat(&svg,
                        "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\" fill=\"#212529\">%s</text>\n"
                        "<text transform=\"translate(16 %g) rotate(-90)\" text-anchor=\"middle\" "
                        "fill=\"#212529\">%s</text>\n",
                        (kLeft + kWidth - kRight) / 2, kHeight - 12, Escaped(x_label),
                        (kTop + kHeight - kBottom) / 2, Escaped(y_label));
  for (size_t i = 0; i < series.size(); ++i) {
    const char* const colour = kColours[i % std::size(kColours)];
    std::string path;
    for (const auto& [step, value] : series[i].points) {
      if (!std::isfinite(value)) continue;
      absl::StrAppendFormat(&path, "%s%.1f,%.1f", path.empty() ? "" : " ", px(step), py(value));
      if (series[i].marks) {
        absl::StrAppendFormat(&svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n", px(step),
                              py(value), colour);
      }
    }
    absl::StrAppendFormat(&svg, "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"%s\"/>\n",
                          path, colour, series[i].marks ? "2" : "1.5");
    const double legend_x = kWidth - kRight - 170, legend_y = kTop + 6 + 18 * static_cast<double>(i);
    absl::StrAppendFormat(&svg,
                          "<line x1=\"%g\" x2=\"%g\" y1=\"%g\" y2=\"%g\" stroke=\"%s\" stroke-width=\"3\"/>"
                          "<text x=\"%g\" y=\"%g\" fill=\"#212529\">%s</text>\n",
                          legend_x, legend_x + 22, legend_y, legend_y, colour, legend_x + 30, legend_y + 4,
                          Escaped(series[i].name));
  }
  return svg + "</svg>\n";
}

}  // namespace vernier::cli
