// Composes a training stage from the registries: model x tuning x objective x optimiser x data.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "worker/data/batch_plan.h"
#include "worker/data/prepared_data.h"
#include "worker/stages/forward_rows.h"
#include "worker/stages/inputs.h"
#include "worker/stages/stage.h"
#include "worker/stages/train/cadence.h"
#include "worker/stages/train/train_state.h"
#include "worker/trainer/run.h"

namespace vernier::stages {

// What the loop works with. Later members refer to earlier ones.
struct TrainSetup {
  std::string numeric_class;
  std::unique_ptr<BaseModel> base;  // adapters below are merged into it
  std::string start_adapter;        // key of the outermost of those; "" = none
  std::unique_ptr<data::PreparedRows> train;
  std::unique_ptr<data::PreparedRows> validation;  // may have no rows
  std::unique_ptr<data::BatchPlan> plan;
  std::unique_ptr<trainer::Run> run;
  Cadence cadence;
  ForwardOptions forward;  // of validation
  TrainIdentity identity;
};

// Reports TaskStarted, loads and composes. InvalidArgument: the stage is wrong (names the field).
// FailedPrecondition: an input is missing or damaged, or does not fit the others.
absl::StatusOr<TrainSetup> Compose(const StageContext& context);

}  // namespace vernier::stages
