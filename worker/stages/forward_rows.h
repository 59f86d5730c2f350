// The sums of many rows by the forward pass alone: validation and evaluation.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/data/batch_plan.h"
#include "worker/data/prepared_data.h"
#include "worker/objectives/objective.h"

namespace vernier::stages {

struct ForwardOptions {
  int64_t micro_batch_tokens = 2048;
  data::Layout layout = data::Layout::kPacked;
};

// Sums of the rows of one micro-batch, in its order.
using ForwardFn =
    std::function<absl::StatusOr<std::vector<objectives::RowSums>>(const objectives::LabelledBatch& batch)>;
// Called with the number of rows done so far; false stops with Cancelled.
using OnRows = std::function<bool(int64_t rows)>;

// Sums of the first `num_rows` rows, in row order. Which rows share a micro-batch depends on their lengths
// alone.
absl::StatusOr<std::vector<objectives::RowSums>> ForwardRows(const data::PreparedRows& rows, int64_t num_rows,
                                                             const ForwardOptions& options,
                                                             const ForwardFn& forward, const OnRows& on_rows);

// Added in order: the total of rows that are in a fixed order has the same bits whatever computed them.
objectives::RowSums Total(absl::Span<const objectives::RowSums> rows);

}  // namespace vernier::stages
