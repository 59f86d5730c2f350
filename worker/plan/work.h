// Floating-point operations of training: docs/planning.md has the formula. A device's rate is operations per
// second of whole steps, so it carries over to other lengths and batch sizes.
#pragma once

#include "vernier/v1/model.pb.h"
#include "vernier/v1/stage.pb.h"
#include "worker/plan/batches.h"

namespace vernier::plan {

// Of all steps, without validation. `checkpointed_layers` are computed forward twice.
double TrainingFlops(const v1::ModelShape& shape, const v1::TrainStage& stage, const Batches& batches,
                     int64_t checkpointed_layers);

// Of one pass over the validation rows.
double ValidationFlops(const v1::ModelShape& shape, const Batches& batches);

// Passes over the validation rows: before the first step, on the way, after the last.
int64_t NumValidations(const v1::TrainStage& stage, const Batches& batches);

}  // namespace vernier::plan
