// Prepared rows -> the tensors of one micro-batch.
#pragma once

#include "worker/data/batch_plan.h"
#include "worker/data/prepared_data.h"
#include "worker/objectives/objective.h"

namespace vernier::trainer {

// Rows end to end. kPadded appends tokens (id 0, weight 0) so that all rows are as long as the longest; causal
// attention keeps them from touching real tokens. `step` and each row's index in the global batch key dropout.
objectives::LabelledBatch MakeLabelledBatch(const data::PreparedRows& rows, const data::MicroBatch& micro_batch,
                                            data::Layout layout, int64_t step, bool training);

}  // namespace vernier::trainer
