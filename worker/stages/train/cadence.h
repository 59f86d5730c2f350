// When a training stage validates, checkpoints and ends: pure functions of the number of updates done.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "vernier/v1/stage.pb.h"

namespace vernier::stages {

struct EarlyStop {
  int64_t patience = 3;    // validations without improvement
  double min_delta = 0.0;  // a smaller gain is none
};

struct Cadence {
  int64_t total_steps = 1;
  int64_t validate_every = 0;    // 0: only before the first step and after the last
  int64_t checkpoint_every = 0;  // 0: only on stop
  bool has_validation = false;
  bool publish_best = false;  // by validation loss; else what the last step left
  std::optional<EarlyStop> early_stop;

  // `step` updates are done; `ended`: no other follows.
  bool ValidationDue(int64_t step, bool ended) const;
  // The last state too, so that a publication that fails trains nothing again.
  bool CheckpointDue(int64_t step, bool ended) const;
};

// `stage` is effective; what is unset gets the default of stage.proto.
// InvalidArgument: a value out of range; publish: best or early_stopping without validation rows.
absl::StatusOr<Cadence> MakeCadence(const v1::TrainStage& stage, int64_t total_steps, bool has_validation);

// Follows validation losses in order.
class StopRule {
 public:
  struct State {
    bool seen = false;
    double best = 0.0;
    int64_t stale = 0;  // validations since the best one
  };

  explicit StopRule(std::optional<EarlyStop> options) : options_(options) {}
  // True: training should end now.
  bool Observe(double valid_loss);
  const State& state() const { return state_; }
  void set_state(const State& state) { state_ = state; }

 private:
  std::optional<EarlyStop> options_;
  State state_;
};

}  // namespace vernier::stages
