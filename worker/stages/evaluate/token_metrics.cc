#include "worker/stages/evaluate/token_metrics.h"

#include <cmath>
#include <vector>

#include "worker/stages/forward_rows.h"

namespace vernier::stages {
namespace {

objectives::RowSums TotalOf(absl::Span<const JudgedRow> rows) {
  std::vector<objectives::RowSums> sums;
  sums.reserve(rows.size());
  for (const JudgedRow& row : rows) sums.push_back(row.sums);
  return Total(sums);
}

}  // namespace

double LossOf(const objectives::RowSums& sums) {
  return sums.weight > 0 ? sums.weighted_nll / sums.weight : 0.0;
}

double PerplexityOf(const objectives::RowSums& sums) {
  return sums.num_targets > 0 ? std::exp(sums.nll / static_cast<double>(sums.num_targets)) : 1.0;
}

double TokenAccuracyOf(const objectives::RowSums& sums) {
  if (sums.num_targets == 0) return 0.0;
  return static_cast<double>(sums.num_correct) / static_cast<double>(sums.num_targets);
}

double LossOfRow(const JudgedRow& row) { return LossOf(row.sums); }
double LossOfAll(absl::Span<const JudgedRow> rows) { return LossOf(TotalOf(rows)); }
double PerplexityOfRow(const JudgedRow& row) { return PerplexityOf(row.sums); }
double PerplexityOfAll(absl::Span<const JudgedRow> rows) { return PerplexityOf(TotalOf(rows)); }
double TokenAccuracyOfRow(const JudgedRow& row) { return TokenAccuracyOf(row.sums); }
double TokenAccuracyOfAll(absl::Span<const JudgedRow> rows) { return TokenAccuracyOf(TotalOf(rows)); }

}  // namespace vernier::stages
