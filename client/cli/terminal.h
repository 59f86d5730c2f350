// What the terminal that a command writes to can show, and text fitted into it.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace vernier::cli {

struct Terminal {
  int width = 80;        // columns, [40, 400]
  bool unicode = false;  // shows UTF-8
  bool colour = false;   // a terminal that wants colours
};

// Of standard output. `$COLUMNS` and `$NO_COLOR` are obeyed; the locale's environment says whether it is
// UTF-8.
Terminal DetectTerminal();

// Columns that `text` takes: one a code point, two for wide East Asian ones, none for combining marks.
int DisplayWidth(absl::string_view text);

// At most `columns` columns of `text`, its white space and control characters as single blanks, cut with
// "..." (or the character for it).
std::string FitLine(absl::string_view text, int columns, bool unicode);

// The same, but the end of `text` stays, with the dots before it.
std::string FitLineEnd(absl::string_view text, int columns, bool unicode);

// `text` in that colour of the palette (from 0, wraps around), where colours are shown.
std::string Coloured(absl::string_view text, int colour, const Terminal& terminal);

// Columns as wide as their widest cell, by what is displayed; the first row is the header. `right`: columns
// (from 0) whose cells are numbers, right-aligned. Cells of the last column are cut to the terminal's width.
std::string AlignedTable(const std::vector<std::vector<std::string>>& rows, const std::vector<int>& right,
                         const Terminal& terminal);

}  // namespace vernier::cli
