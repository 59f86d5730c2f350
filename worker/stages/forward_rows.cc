#include "worker/stages/forward_rows.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/trainer/labelled_batch.h"

namespace vernier::stages {
namespace {

// Rows that are packed together: packing looks at every micro-batch for every row, and progress is told in
// between.
constexpr int64_t kChunkRows = 256;

}  // namespace

absl::StatusOr<std::vector<objectives::RowSums>> ForwardRows(const data::PreparedRows& rows, int64_t num_rows,
                                                             const ForwardOptions& options,
                                                             const ForwardFn& forward,
                                                             const OnRows& on_rows) {
  std::vector<objectives::RowSums> sums(num_rows);
  int64_t done = 0;
  for (int64_t begin = 0; begin < num_rows; begin += kChunkRows) {
    std::vector<data::PlannedRow> planned;
    for (int64_t row = begin; row < std::min(begin + kChunkRows, num_rows); ++row) {
      planned.push_back({.row = row, .index_in_batch = row, .length = rows.length(row)});
    }
    for (const data::MicroBatch& batch :
         data::PackRows(std::move(planned), options.micro_batch_tokens, options.layout)) {
      if (!on_rows(done)) return absl::CancelledError("stopped");
      VN_ASSIGN_OR_RETURN(const std::vector<objectives::RowSums> computed,
                          forward(trainer::MakeLabelledBatch(rows, batch, options.layout, /*step=*/0,
                                                             /*training=*/false)));
      VN_CHECK(computed.size() == batch.rows.size());
      for (size_t i = 0; i < computed.size(); ++i) sums[batch.rows[i].row] = computed[i];
      done += static_cast<int64_t>(batch.rows.size());
    }
  }
  if (!on_rows(done)) return absl::CancelledError("stopped");
  return sums;
}

objectives::RowSums Total(absl::Span<const objectives::RowSums> rows) {
  objectives::RowSums total;
  for (const objectives::RowSums& row : rows) {
    total.weighted_nll += row.weighted_nll;
    total.weight += row.weight;
    total.nll += row.nll;
    total.num_targets += row.num_targets;
    total.num_correct += row.num_correct;
  }
  return total;
}

}  // namespace vernier::stages
