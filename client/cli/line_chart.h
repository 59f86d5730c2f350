// Several jobs' curves on one axis, in the terminal.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "client/cli/terminal.h"

namespace vernier::cli {

struct Curve {
  std::string name;
  std::vector<std::pair<double, double>> points;  // (step, value), rising steps
  int colour = 0;                                 // of the palette: one a job
  char mark = '*';                                // where only ASCII is shown
  std::string symbol;                             // where more is; "" = mark
  bool sparse = false;  // few points: drawn on top, each as it is; else the mean of each column
};

// As wide as the terminal, `height` lines of grid, a legend below; "" when no curve has a finite point.
std::string LineChart(const std::vector<Curve>& curves, int height, const Terminal& terminal);

}  // namespace vernier::cli
