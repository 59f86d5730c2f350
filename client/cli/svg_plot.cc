#include "client/cli/svg_plot.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/cli.h"
#include "client/cli/html.h"

namespace vernier::cli {
namespace {

// In units of about a pixel, so that letters are as large in every picture.
constexpr double kWideWidth = 1000, kWideHeight = 320, kHalfWidth = 490, kHalfHeight = 230;
constexpr double kLeft = 58, kRight = 14, kTop = 12, kBottom = 42;
constexpr int kColumns = 600;
constexpr int kHoverColumns = 120;

std::string PlotNumber(double value) { return absl::StrFormat("%.4g", value); }

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void Add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
  void Widen() {
    const double size = high - low;
    if (size < 1e-12) {
      const double pad = std::max(1e-12, std::abs(high) * 0.1);
      low -= pad;
      high += pad;
    }
  }
  double Share(double value) const { return (value - low) / (high - low); }
};

// Steps of 1, 2 or 5 times a power of ten, about `count` of them.
std::vector<double> Ticks(const Range& range, int count) {
  const double rough = (range.high - range.low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  const double share = rough / power;
  const double step = power * (share < 1.5 ? 1 : share < 3.5 ? 2 : share < 7.5 ? 5 : 10);
  std::vector<double> ticks;
  for (double tick = std::ceil(range.low / step - 1e-9) * step; tick <= range.high + step * 1e-9;
       tick += step) {
    ticks.push_back(std::abs(tick) < step * 1e-9 ? 0.0 : tick);
  }
  return ticks;
}

// A round time of at least `seconds`.
double TimeStep(double seconds) {
  for (const double step : {1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200}) {
    if (step >= seconds) return step;
  }
  return std::ceil(seconds / 86400) * 86400;
}

using Points = std::vector<std::pair<double, double>>;

Points Finite(const Points& points, bool log_y) {
  Points finite;
  for (const auto& [x, y] : points) {
    if (std::isfinite(x) && std::isfinite(y) && (!log_y || y > 0))
      finite.emplace_back(x, log_y ? std::log10(y) : y);
  }
  return finite;
}

// The mean of each column, where there are more points than columns.
Points Thin(const Points& points, const Range& x) {
  if (points.size() <= kColumns) return points;
  Points thin;
  for (size_t i = 0; i < points.size();) {
    const auto column = static_cast<int>(x.Share(points[i].first) * kColumns);
    double sum_x = 0, sum_y = 0;
    int count = 0;
    for (; i < points.size() && static_cast<int>(x.Share(points[i].first) * kColumns) == column;
         ++i, ++count) {
      sum_x += points[i].first;
      sum_y += points[i].second;
    }
    thin.emplace_back(sum_x / count, sum_y / count);
  }
  return thin;
}

// A mean over about a twentieth of the points, without the lag at the beginning.
Points Smooth(const Points& points) {
  const double decay = 1.0 - 1.0 / std::max(2.0, static_cast<double>(points.size()) / 20.0);
  Points smooth;
  double mean = 0, weight = 0;
  for (const auto& [x, y] : points) {
    mean = decay * mean + (1 - decay) * y;
    weight = decay * weight + (1 - decay);
    smooth.emplace_back(x, mean / weight);
  }
  return smooth;
}

class Canvas {
 public:
  Canvas(bool wide, Range x, Range y)
      : width_(wide ? kWideWidth : kHalfWidth), height_(wide ? kWideHeight : kHalfHeight), x_(x), y_(y) {}
  double width() const { return width_; }
  double height() const { return height_; }
  // The edges of the area of values.
  double right() const { return width_ - kRight; }
  double bottom() const { return height_ - kBottom; }
  double X(double value) const { return kLeft + x_.Share(value) * (right() - kLeft); }
  double Y(double value) const { return kTop + (1 - y_.Share(value)) * (bottom() - kTop); }
  std::string Path(const Points& points) const {
    std::string path;
    for (const auto& [x, y] : points)
      absl::StrAppendFormat(&path, "%s%.1f,%.1f", path.empty() ? "" : " ", X(x), Y(y));
    return path;
  }

 private:
  const double width_, height_;
  const Range x_, y_;
};

std::string Open(absl::string_view id, absl::string_view title, absl::string_view description, double width,
                 double height) {
  return absl::StrFormat(
      "<svg viewBox=\"0 0 %g %g\" role=\"img\" aria-labelledby=\"%s-t %s-d\"><title id=\"%s-t\">%s</title>"
      "<desc id=\"%s-d\">%s</desc>\n",
      width, height, id, id, id, HtmlText(title), id, HtmlText(description));
}

std::string Describe(const std::vector<PlotLine>& lines) {
  std::string text;
  for (const PlotLine& line : lines) {
    const Points points = Finite(line.points, false);
    if (points.empty()) continue;
    Range y;
    for (const auto& point : points) y.Add(point.second);
    absl::StrAppend(&text, text.empty() ? "" : " ", line.name, ": from ", PlotNumber(points.front().second),
                    " to ", PlotNumber(points.back().second), ", between ", PlotNumber(y.low), " and ",
                    PlotNumber(y.high), ".");
  }
  return text;
}

// Lines across for the values of y, and the axis of x with what the axes mean.
void DrawFrame(const Range& y, bool log_y, absl::string_view x_label, absl::string_view y_label,
               const Canvas& canvas, std::string& svg) {
  for (const double tick : Ticks(y, 5)) {
    absl::StrAppendFormat(&svg,
                          "<line class=\"grid\" x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\"/>"
                          "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                          kLeft, canvas.right(), canvas.Y(tick), canvas.Y(tick), kLeft - 7,
                          canvas.Y(tick) + 4, PlotNumber(log_y ? std::pow(10.0, tick) : tick));
  }
  absl::StrAppendFormat(
      &svg,
      "<line class=\"axis\" x1=\"%g\" x2=\"%g\" y1=\"%g\" y2=\"%g\"/>"
      "<text class=\"label\" x=\"%g\" y=\"%g\" text-anchor=\"middle\">%s</text>"
      "<text class=\"label\" transform=\"translate(13 %g) rotate(-90)\" text-anchor=\"middle\">%s</text>\n",
      kLeft, canvas.right(), canvas.bottom(), canvas.bottom(), (kLeft + canvas.right()) / 2,
      canvas.height() - 6, HtmlText(x_label), (kTop + canvas.bottom()) / 2, HtmlText(y_label));
}

void DrawLine(const PlotLine& line, const Points& points, const Range& x, const Canvas& canvas,
              std::string& svg) {
  const Points thin = Thin(points, x);
  const bool smooth = line.smooth && thin.size() > 20;
  absl::StrAppendFormat(&svg, "<polyline class=\"line c%d%s\" points=\"%s\"/>\n", line.colour,
                        smooth ? " faint" : "", canvas.Path(thin));
  if (smooth) {
    absl::StrAppendFormat(&svg, "<polyline class=\"line c%d\" points=\"%s\"/>\n", line.colour,
                          canvas.Path(Thin(Smooth(points), x)));
  }
  if (!line.marks && thin.size() > 1) return;
  for (const auto& [px, py] : thin) {
    absl::StrAppendFormat(&svg, "<circle class=\"dot c%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>\n", line.colour,
                          canvas.X(px), canvas.Y(py));
  }
}

// An area that says `text` where the pointer is over it; no script is needed for it.
void DrawHover(double left, double width, absl::string_view text, const Canvas& canvas, std::string& svg) {
  absl::StrAppendFormat(
      &svg,
      "<rect class=\"hover\" x=\"%.1f\" y=\"%g\" width=\"%.1f\" height=\"%g\"><title>%s</title></rect>\n",
      left, kTop, width, canvas.bottom() - kTop, HtmlText(text));
}

// The newest value of each line in each of many columns.
void DrawHovers(const Plot& plot, const Range& x, const Canvas& canvas, std::string& svg) {
  std::vector<std::map<size_t, std::pair<double, double>>> columns(kHoverColumns);
  for (size_t i = 0; i < plot.lines.size(); ++i) {
    for (const auto& point : Finite(plot.lines[i].points, false)) {
      const int column =
          std::clamp(static_cast<int>(x.Share(point.first) * kHoverColumns), 0, kHoverColumns - 1);
      columns[column][i] = point;
    }
  }
  const double width = (canvas.right() - kLeft) / kHoverColumns;
  for (int column = 0; column < kHoverColumns; ++column) {
    std::string text;
    for (const auto& [line, point] : columns[column]) {
      absl::StrAppend(&text, text.empty() ? "" : "\n", plot.lines[line].name, " ", PlotNumber(point.second),
                      " at ", plot.x_label, " ", absl::StrFormat("%.6g", point.first));
    }
    if (!text.empty()) DrawHover(kLeft + column * width, width, text, canvas, svg);
  }
}

std::string Legend(const std::vector<PlotLine>& lines) {
  if (lines.size() < 2) return "";
  std::string html = "<p class=\"legend\">";
  for (const PlotLine& line : lines) {
    if (line.points.empty()) continue;
    absl::StrAppend(&html, "<span class=\"key b", line.colour, "\">", HtmlText(line.name), "</span> ");
  }
  return html + "</p>\n";
}

}  // namespace

std::string SvgPlot(const Plot& plot) {
  Range x, y;
  std::vector<Points> lines;
  for (const PlotLine& line : plot.lines) {
    lines.push_back(Finite(line.points, plot.log_y));
    for (const auto& [px, py] : lines.back()) {
      x.Add(px);
      y.Add(py);
    }
  }
  if (x.empty()) return "";
  if (plot.from_zero) y.Add(0);
  x.Widen();
  y.Widen();
  const Canvas canvas(plot.wide, x, y);
  std::string svg = Open(plot.id, plot.title, Describe(plot.lines), canvas.width(), canvas.height());
  DrawFrame(y, plot.log_y, plot.x_label, plot.y_label, canvas, svg);
  for (const double tick : Ticks(x, plot.wide ? 10 : 5)) {
    absl::StrAppendFormat(&svg, "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%s</text>\n",
                          canvas.X(tick), canvas.bottom() + 17, PlotNumber(tick));
  }
  for (size_t i = 0; i < lines.size(); ++i) {
    if (!lines[i].empty()) DrawLine(plot.lines[i], lines[i], x, canvas, svg);
  }
  DrawHovers(plot, x, canvas, svg);
  return absl::StrCat("<figure><figcaption>", HtmlText(plot.title), "</figcaption>\n", svg, "</svg>\n",
                      Legend(plot.lines), "</figure>\n");
}

std::string SvgBars(absl::string_view id, absl::string_view title, absl::string_view x_label,
                    const std::vector<Bar>& bars) {
  Range y;
  y.Add(0);
  for (const Bar& bar : bars) y.Add(bar.value);
  if (bars.empty() || y.high <= 0) return "";
  const Canvas canvas(/*wide=*/true, {0, 1}, y);
  std::string described;
  for (const Bar& bar : bars) absl::StrAppend(&described, bar.label, ": ", PlotNumber(bar.value), ". ");
  std::string svg = Open(id, title, described, canvas.width(), canvas.height());
  DrawFrame(y, /*log_y=*/false, x_label, "", canvas, svg);
  const double slot = (canvas.right() - kLeft) / static_cast<double>(bars.size());
  // Labels side by side need about 44 units each.
  const auto every = static_cast<size_t>(std::max(1.0, std::ceil(44 / slot)));
  for (size_t i = 0; i < bars.size(); ++i) {
    const double left = kLeft + slot * static_cast<double>(i);
    absl::StrAppendFormat(&svg, "<rect class=\"f1\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
                          left + slot * 0.1, canvas.Y(bars[i].value), slot * 0.8,
                          canvas.bottom() - canvas.Y(bars[i].value));
    DrawHover(left, slot, absl::StrCat(bars[i].label, ": ", bars[i].note), canvas, svg);
    if (i % every != 0) continue;
    absl::StrAppendFormat(&svg, "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%s</text>\n",
                          left + slot / 2, canvas.bottom() + 17, HtmlText(bars[i].label));
  }
  return absl::StrCat("<figure><figcaption>", HtmlText(title), "</figcaption>\n", svg, "</svg>\n</figure>\n");
}

std::string SvgTimeline(absl::string_view id, absl::string_view title, const std::vector<TimeSpan>& spans) {
  constexpr double kLine = 30, kLabels = 130, kAxis = 26;
  Range x;
  x.Add(0);
  for (const TimeSpan& span : spans) x.Add(span.end);
  if (spans.empty() || x.high <= 0) return "";
  const double height = kLine * static_cast<double>(spans.size()) + kAxis;
  const auto px = [&](double seconds) {
    return kLabels + x.Share(seconds) * (kWideWidth - kLabels - kRight);
  };
  std::string described;
  for (const TimeSpan& span : spans) absl::StrAppend(&described, span.label, ": ", span.note, ". ");
  std::string svg = Open(id, title, described, kWideWidth, height);
  const double step = TimeStep(x.high / 8);
  for (double tick = 0; tick <= x.high; tick += step) {
    absl::StrAppendFormat(&svg,
                          "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" y2=\"%g\"/>"
                          "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%s</text>\n",
                          px(tick), px(tick), height - kAxis, px(tick), height - 8, HumanDuration(tick));
  }
  for (size_t i = 0; i < spans.size(); ++i) {
    const TimeSpan& span = spans[i];
    const double top = kLine * static_cast<double>(i);
    absl::StrAppendFormat(&svg,
                          "<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%s</text>"
                          "<rect class=\"f%d\" rx=\"3\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%g\">"
                          "<title>%s</title></rect>\n",
                          kLabels - 8, top + kLine / 2 + 4, HtmlText(span.label), span.colour, px(span.begin),
                          top + 5, std::max(2.0, px(span.end) - px(span.begin)), kLine - 10,
                          HtmlText(absl::StrCat(span.label, ": ", span.note)));
  }
  return absl::StrCat("<figure>", svg, "</svg>\n</figure>\n");
}

}  // namespace vernier::cli
