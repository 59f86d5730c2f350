// One optimiser step of a run: the global batch, its gradient summed over the shard tree, one update.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vernier/v1/stage.pb.h"
#include "worker/data/batch_plan.h"
#include "worker/data/prepared_data.h"
#include "worker/objectives/objective.h"
#include "worker/trainer/fault_hooks.h"
#include "worker/trainer/lanes.h"
#include "worker/trainer/run.h"

namespace vernier::stages {

struct StepResult {
  // Sums over the rows of the global batch in batch order; weight 0 when it has no trained token: then
  // nothing changed.
  objectives::RowSums sums;
  double grad_norm = 0.0;  // before clipping
  double learning_rate = 0.0;
  int64_t num_tokens = 0;  // real ones, without padding
  int64_t num_rows = 0;
  bool updated = false;
  // Where updated: the rows of the batch (of the prepared data) and the sums of each, in batch order.
  std::vector<int64_t> rows;
  std::vector<objectives::RowSums> row_sums;
  bool recomputed = false;  // its first computation was not finite
  std::string not_finite;   // not "": neither was the second; says what and which rows. Nothing changed.
};

// Thread-compatible.
class Stepper {
 public:
  struct Options {
    double clip_norm = 1.0;  // 0 = off
    v1::Schedule schedule;
    int64_t total_steps = 1;
    data::Layout layout = data::Layout::kPacked;
    int64_t checkpointed_layers = 0;  // as TokenBatch has it
  };
  // All of them outlive it.
  Stepper(trainer::Run& run, const data::PreparedRows& rows, const data::BatchPlan& plan,
          const trainer::FaultHooks& faults, Options options)
      : run_(run), rows_(rows), plan_(plan), faults_(faults), options_(std::move(options)) {}

  // Step `step`, from 0. ResourceExhausted: out of memory, nothing changed.
  absl::StatusOr<StepResult> Step(int64_t step);

 private:
  // Fills gradient_ and sums_.
  absl::Status Compute(const data::GlobalBatch& batch);
  std::string DescribeNotFinite(const data::GlobalBatch& batch, double norm) const;

  trainer::Run& run_;
  const data::PreparedRows& rows_;
  const data::BatchPlan& plan_;
  const trainer::FaultHooks& faults_;
  const Options options_;
  trainer::FlatGradient gradient_;
  trainer::Lanes lanes_;
  std::vector<objectives::RowSums> sums_;  // [rows of the batch], in batch order
};

}  // namespace vernier::stages
