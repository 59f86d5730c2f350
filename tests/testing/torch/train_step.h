// One optimiser step the way the trainer's loop makes it, for tests of what a step computes.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "tests/testing/torch/small_model.h"
#include "worker/data/batch_plan.h"
#include "worker/data/prepared_data.h"
#include "worker/trainer/run.h"

namespace vernier::testing {

struct StepOutcome {
  double loss = 0.0;  // sum of weight x nll / sum of weights over the global batch, before the update
  double gradient_norm = 0.0;  // before clipping
};

// Rows as the data path hands them over.
data::PreparedRows PreparedOf(const std::vector<LabelledRow>& rows);

// Sums the gradient of `batch` over the shard tree and updates `run` once.
absl::StatusOr<StepOutcome> TrainStep(trainer::Run& run, const data::PreparedRows& rows,
                                      const data::GlobalBatch& batch, data::Layout layout, double clip_norm,
                                      double factor);

// The gradient alone, and the loss.
absl::StatusOr<double> StepGradient(trainer::Run& run, const data::PreparedRows& rows,
                                    const data::GlobalBatch& batch, data::Layout layout,
                                    trainer::FlatGradient& gradient);

// A global batch of the given rows.
data::GlobalBatch GlobalBatchOf(const data::PreparedRows& rows, const std::vector<int64_t>& indices,
                                int64_t step, const data::BatchPlanOptions& options);

}  // namespace vernier::testing
