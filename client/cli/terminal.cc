#include "client/cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <limits>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace vernier::cli {
namespace {

constexpr int kMinWidth = 40;
constexpr int kMaxWidth = 400;

std::string Environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// POSIX: the first that is set decides.
bool LocaleIsUtf8() {
  for (const char* const name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string value = absl::AsciiStrToLower(Environment(name));
    if (value.empty()) continue;
    return absl::StrContains(value, "utf-8") || absl::StrContains(value, "utf8");
  }
  return false;
}

// The code point at the front of `text`, which is taken off; a byte that begins none counts as U+FFFD.
uint32_t TakeCodePoint(absl::string_view& text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  const size_t size = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (size == 0 || size > text.size()) {
    text.remove_prefix(1);
    return 0xFFFD;
  }
  uint32_t point = size == 1 ? lead : lead & (0x7F >> size);
  for (size_t i = 1; i < size; ++i) {
    if ((static_cast<uint8_t>(text[i]) & 0xC0) != 0x80) {
      text.remove_prefix(1);
      return 0xFFFD;
    }
    point = point << 6 | (static_cast<uint8_t>(text[i]) & 0x3F);
  }
  text.remove_prefix(size);
  return point;
}

struct Interval {
  uint32_t first, last;
};
// Unicode 15: the blocks of combining marks and of wide characters that real text is full of.
constexpr Interval kCombining[] = {{0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD},  {0x0610, 0x061A},
                                   {0x064B, 0x065F}, {0x0E31, 0x0E31}, {0x0E34, 0x0E3A},  {0x0E47, 0x0E4E},
                                   {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200F},  {0x20D0, 0x20FF},
                                   {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xE0100, 0xE01EF}};
constexpr Interval kWide[] = {{0x1100, 0x115F},   {0x2E80, 0x303E},   {0x3041, 0x33FF},  {0x3400, 0x4DBF},
                              {0x4E00, 0x9FFF},   {0xA000, 0xA4CF},   {0xAC00, 0xD7A3},  {0xF900, 0xFAFF},
                              {0xFE30, 0xFE4F},   {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6},  {0x1F300, 0x1F64F},
                              {0x1F900, 0x1F9FF}, {0x20000, 0x2FFFD}, {0x30000, 0x3FFFD}};

bool In(uint32_t point, const auto& intervals) {
  return absl::c_any_of(intervals,
                        [point](const Interval& i) { return i.first <= point && point <= i.last; });
}

int WidthOf(uint32_t point) { return In(point, kCombining) ? 0 : In(point, kWide) ? 2 : 1; }

// A control character could move the cursor, or start an escape sequence.
bool IsBlank(uint32_t point) {
  return point <= 0x20 || (point >= 0x7F && point <= 0xA0) || point == 0x2028 || point == 0x2029;
}

}  // namespace

Terminal DetectTerminal() {
  Terminal terminal;
  terminal.unicode = LocaleIsUtf8();
  const bool is_terminal = ::isatty(STDOUT_FILENO) == 1;
  terminal.colour = is_terminal && Environment("NO_COLOR").empty() && Environment("TERM") != "dumb";
  winsize size{};
  int columns = 0;
  if (absl::SimpleAtoi(Environment("COLUMNS"), &columns) && columns > 0) {
    terminal.width = columns;
  } else if (is_terminal && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    terminal.width = size.ws_col;
  }
  terminal.width = std::clamp(terminal.width, kMinWidth, kMaxWidth);
  return terminal;
}

int DisplayWidth(absl::string_view text) {
  int width = 0;
  while (!text.empty()) width += WidthOf(TakeCodePoint(text));
  return width;
}

std::string FitLine(absl::string_view text, int columns, bool unicode) {
  const std::string dots = unicode ? "\u2026" : "...";
  const int dots_width = unicode ? 1 : 3;
  std::string line;
  int width = 0;
  // Where the line must be cut if more than `columns` follow.
  size_t cut = 0;
  bool blank = true;  // none at the front, one between words
  while (!text.empty()) {
    const absl::string_view before = text;
    const uint32_t point = TakeCodePoint(text);
    absl::string_view bytes = before.substr(0, before.size() - text.size());
    int taken = WidthOf(point);
    if (IsBlank(point)) {
      if (blank) continue;
      bytes = " ";
      taken = 1;
    } else if (!unicode && point > 0x7E) {
      bytes = "?";
      taken = 1;
    } else if (point == 0xFFFD) {
      bytes = "\uFFFD";
    }
    blank = bytes == " ";
    if (width + taken > columns) {
      line.resize(cut);
      return absl::StrCat(absl::StripTrailingAsciiWhitespace(line), dots);
    }
    absl::StrAppend(&line, bytes);
    width += taken;
    if (width <= columns - dots_width) cut = line.size();
  }
  return std::string(absl::StripTrailingAsciiWhitespace(line));
}

std::string FitLineEnd(absl::string_view text, int columns, bool unicode) {
  const std::string line = FitLine(text, std::numeric_limits<int>::max(), unicode);
  absl::string_view rest = line;
  int width = DisplayWidth(rest);
  if (width <= columns) return line;
  const std::string dots = unicode ? "\u2026" : "...";
  const int room = columns - DisplayWidth(dots);
  while (width > room) width -= WidthOf(TakeCodePoint(rest));
  return absl::StrCat(dots, absl::StripLeadingAsciiWhitespace(rest));
}

std::string Coloured(absl::string_view text, int colour, const Terminal& terminal) {
  // Legible on black and on white.
  static constexpr int kPalette[] = {33, 166, 35, 134, 37, 160};
  if (!terminal.colour) return std::string(text);
  return absl::StrCat("\033[38;5;", kPalette[colour % static_cast<int>(std::size(kPalette))], "m", text,
                      "\033[0m");
}

std::string AlignedTable(const std::vector<std::vector<std::string>>& rows, const std::vector<int>& right,
                         const Terminal& terminal) {
  std::vector<int> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], DisplayWidth(row[i]));
  }
  std::string table;
  for (const auto& row : rows) {
    std::string line;
    int used = 0;
    for (size_t i = 0; i < row.size(); ++i) {
      const bool last = i + 1 == row.size();
      const std::string pad(widths[i] - DisplayWidth(row[i]), ' ');
      if (absl::c_linear_search(right, static_cast<int>(i))) {
        absl::StrAppend(&line, pad, row[i]);
      } else if (last) {
        absl::StrAppend(&line, FitLine(row[i], std::max(8, terminal.width - used), terminal.unicode));
      } else {
        absl::StrAppend(&line, row[i], pad);
      }
      used += widths[i] + 2;
      if (!last) line += "  ";
    }
    absl::StrAppend(&table, absl::StripTrailingAsciiWhitespace(line), "\n");
  }
  return table;
}

}  // namespace vernier::cli
