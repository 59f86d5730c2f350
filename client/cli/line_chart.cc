#include "client/cli/line_chart.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace vernier::cli {
namespace {

constexpr int kLabelWidth = 9;

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void Add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  void Widen() {
    if (high - low > 1e-12) return;
    low -= 0.5;
    high += 0.5;
  }
  double Share(double value) const { return (value - low) / (high - low); }
};

class Grid {
 public:
  Grid(int width, int height) : width_(width), height_(height), cells_(width * height, -1) {}
  void Set(double x_share, double y_share, int curve) {
    const int column = std::clamp(static_cast<int>(std::lround(x_share * (width_ - 1))), 0, width_ - 1);
    const int row = std::clamp(static_cast<int>(std::lround((1 - y_share) * (height_ - 1))), 0, height_ - 1);
    cells_[row * width_ + column] = curve;
  }
  int At(int row, int column) const { return cells_[row * width_ + column]; }

 private:
  const int width_, height_;
  std::vector<int> cells_;  // index of the curve, -1 = none
};

std::string Symbol(const Curve& curve, const Terminal& terminal) {
  const std::string symbol =
      terminal.unicode && !curve.symbol.empty() ? curve.symbol : std::string(1, curve.mark);
  return Coloured(symbol, curve.colour, terminal);
}

// One point a column, so that a noisy curve is a line and not a cloud.
std::vector<std::pair<double, double>> ColumnMeans(const Curve& curve, const Range& x, int width) {
  std::map<int64_t, std::pair<double, int64_t>> sums;
  for (const auto& [step, value] : curve.points) {
    if (!std::isfinite(value)) continue;
    auto& [sum, count] = sums[std::llround(x.Share(step) * (width - 1))];
    sum += value;
    ++count;
  }
  std::vector<std::pair<double, double>> means;
  for (const auto& [column, sum] : sums) {
    means.emplace_back(static_cast<double>(column) / std::max(1, width - 1),
                       sum.first / static_cast<double>(sum.second));
  }
  return means;
}

void Draw(const std::vector<Curve>& curves, const Range& x, const Range& y, int width, Grid& grid) {
  for (const bool sparse : {false, true}) {
    for (size_t i = 0; i < curves.size(); ++i) {
      if (curves[i].sparse != sparse) continue;
      if (sparse) {
        for (const auto& [step, value] : curves[i].points) {
          if (std::isfinite(value)) grid.Set(x.Share(step), y.Share(value), static_cast<int>(i));
        }
      } else {
        for (const auto& [share, value] : ColumnMeans(curves[i], x, width)) {
          grid.Set(share, y.Share(value), static_cast<int>(i));
        }
      }
    }
  }
}

// Entries side by side as far as they fit.
std::string Legend(const std::vector<Curve>& curves, int columns, const Terminal& terminal) {
  std::string legend, line;
  int used = 0;
  for (const Curve& curve : curves) {
    if (curve.points.empty()) continue;
    const std::string name = FitLine(curve.name, columns - 2, terminal.unicode);
    const int width = 2 + DisplayWidth(name);
    if (used > 0 && used + 3 + width > columns) {
      absl::StrAppend(&legend, std::string(kLabelWidth + 2, ' '), line, "\n");
      line.clear();
      used = 0;
    }
    absl::StrAppend(&line, used > 0 ? "   " : "", Symbol(curve, terminal), " ", name);
    used += (used > 0 ? 3 : 0) + width;
  }
  if (used > 0) absl::StrAppend(&legend, std::string(kLabelWidth + 2, ' '), line, "\n");
  return legend;
}

}  // namespace

std::string LineChart(const std::vector<Curve>& curves, int height, const Terminal& terminal) {
  Range x, y;
  for (const Curve& curve : curves) {
    for (const auto& [step, value] : curve.points) {
      if (!std::isfinite(value)) continue;
      x.Add(step);
      if (curve.sparse) y.Add(value);
    }
  }
  if (x.low > x.high) return "";
  x.Widen();
  const int width = std::max(20, terminal.width - kLabelWidth - 3);
  for (const Curve& curve : curves) {
    if (curve.sparse) continue;
    for (const auto& [share, mean] : ColumnMeans(curve, x, width)) y.Add(mean);
  }
  y.Widen();
  Grid grid(width, height);
  Draw(curves, x, y, width, grid);
  const std::string side = terminal.unicode ? "\u2502" : "|", corner = terminal.unicode ? "\u2514" : "+",
                    bottom = terminal.unicode ? "\u2500" : "-";
  std::string chart;
  for (int row = 0; row < height; ++row) {
    const bool labelled = row % 4 == 0 || row == height - 1;
    const double value = y.high - (y.high - y.low) * row / std::max(1, height - 1);
    std::string line =
        absl::StrFormat("%*s %s", kLabelWidth, labelled ? absl::StrFormat("%.4g", value) : "", side);
    for (int column = 0; column < width; ++column) {
      const int curve = grid.At(row, column);
      line += curve < 0 ? " " : Symbol(curves[curve], terminal);
    }
    absl::StrAppend(&chart, absl::StripTrailingAsciiWhitespace(line), "\n");
  }
  absl::StrAppend(&chart, std::string(kLabelWidth + 1, ' '), corner);
  for (int column = 0; column < width; ++column) chart += bottom;
  const std::string left = absl::StrFormat("%.6g", x.low), right = absl::StrFormat("step %.6g", x.high);
  absl::StrAppend(&chart, "\n", std::string(kLabelWidth + 2, ' '), left,
                  std::string(std::max<int>(1, width - static_cast<int>(left.size() + right.size())), ' '),
                  right, "\n", Legend(curves, width, terminal));
  return chart;
}

}  // namespace vernier::cli
