#include "worker/trainer/labelled_batch.h"

#include <algorithm>

#include "worker/models/torch.h"

namespace vernier::trainer {

objectives::LabelledBatch MakeLabelledBatch(const data::PreparedRows& rows,
                                            const data::MicroBatch& micro_batch, data::Layout layout,
                                            int64_t step, bool training) {
  int64_t longest = 0;
  for (const data::PlannedRow& row : micro_batch.rows) longest = std::max(longest, row.length);
  std::vector<int64_t> ids;
  objectives::LabelledBatch batch;
  batch.tokens.row_offsets.push_back(0);
  for (const data::PlannedRow& row : micro_batch.rows) {
    const auto row_ids = rows.ids(row.row);
    const auto row_weights = rows.weights(row.row);
    ids.insert(ids.end(), row_ids.begin(), row_ids.end());
    batch.weights.insert(batch.weights.end(), row_weights.begin(), row_weights.end());
    if (layout == data::Layout::kPadded) {
      ids.resize(ids.size() + longest - row.length, 0);
      batch.weights.resize(ids.size(), 0.0f);
    }
    batch.tokens.row_offsets.push_back(static_cast<int64_t>(ids.size()));
    batch.tokens.global_rows.push_back(row.index_in_batch);
  }
  batch.tokens.ids_T = torch::tensor(ids, at::TensorOptions().dtype(at::kLong));
  batch.tokens.step = step;
  batch.tokens.training = training;
  return batch;
}

}  // namespace vernier::trainer
