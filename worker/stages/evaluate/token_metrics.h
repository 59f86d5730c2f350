// Metrics of the forward pass over trained tokens: how well the reference is predicted, token by token.
#pragma once

#include "absl/types/span.h"
#include "worker/stages/evaluate/metric.h"

namespace vernier::stages {

// Sum of weight x nll / sum of weights; 0 without a trained token.
double LossOf(const objectives::RowSums& sums);
// exp of the mean nll of trained tokens, each counted once; 1 without a trained token.
double PerplexityOf(const objectives::RowSums& sums);
// Share of trained tokens that are the most likely one; 0 without a trained token.
double TokenAccuracyOf(const objectives::RowSums& sums);

// The same of a row, and of all rows' sums together.
double LossOfRow(const JudgedRow& row);
double LossOfAll(absl::Span<const JudgedRow> rows);
double PerplexityOfRow(const JudgedRow& row);
double PerplexityOfAll(absl::Span<const JudgedRow> rows);
double TokenAccuracyOfRow(const JudgedRow& row);
double TokenAccuracyOfAll(absl::Span<const JudgedRow> rows);

}  // namespace vernier::stages
