#include "worker/stages/evaluate/text_metrics.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"

namespace vernier::stages {
namespace {

double MeanOf(absl::Span<const JudgedRow> rows, double (*of_row)(const JudgedRow&)) {
  double sum = 0.0;
  for (const JudgedRow& row : rows) sum += of_row(row);
  return sum / static_cast<double>(rows.size());
}

std::vector<std::string> Tokens(absl::string_view text) {
  // Two characters outside ASCII have lower-case forms with an ASCII letter: K (Kelvin sign) is k, and I with
  // a dot above is i and a combining dot, which is no letter.
  const std::string lower =
      absl::AsciiStrToLower(absl::StrReplaceAll(text, {{"\u212A", "k"}, {"\u0130", "i\u0307"}}));
  std::vector<std::string> tokens;
  bool inside = false;
  for (const char c : lower) {
    const bool belongs = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (belongs && !inside) tokens.emplace_back();
    if (belongs) tokens.back() += c;
    inside = belongs;
  }
  return tokens;
}

// Longest common subsequence; two rows of the table are enough for its length.
int64_t CommonLength(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::vector<int64_t> above(b.size() + 1, 0), here(b.size() + 1, 0);
  for (const std::string& token : a) {
    for (size_t j = 0; j < b.size(); ++j) {
      here[j + 1] = token == b[j] ? above[j] + 1 : std::max(above[j + 1], here[j]);
    }
    std::swap(above, here);
  }
  return above.back();
}

}  // namespace

double ExactMatchOfRow(const JudgedRow& row) { return row.prediction == row.reference ? 1.0 : 0.0; }
double ExactMatchOfAll(absl::Span<const JudgedRow> rows) { return MeanOf(rows, ExactMatchOfRow); }

double RougeL(absl::string_view reference, absl::string_view prediction) {
  const std::vector<std::string> expected = Tokens(reference), given = Tokens(prediction);
  if (expected.empty() || given.empty()) return 0.0;
  const double common = static_cast<double>(CommonLength(expected, given));
  if (common == 0) return 0.0;
  const double precision = common / static_cast<double>(given.size());
  const double recall = common / static_cast<double>(expected.size());
  return 2 * precision * recall / (precision + recall);
}
double RougeLOfRow(const JudgedRow& row) { return RougeL(row.reference, row.prediction); }
double RougeLOfAll(absl::Span<const JudgedRow> rows) { return MeanOf(rows, RougeLOfRow); }

}  // namespace vernier::stages
