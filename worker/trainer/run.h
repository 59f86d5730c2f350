// A run: one set of trained parameters with its optimiser and counters on a resident base model. A batch job
// is a run driven by our loop (worker/stages/train.h); an interactive session would be a run driven by a
// client. Several runs may share one base: base tensors are immutable, and everything that a run changes is
// its own.
//
// Law 2      ForwardBackward adds plain sums scaled by a constant known before the step; nothing is
//            normalised locally.
// Law 3      State() and num_updates() are everything the next step depends on besides the job: restoring
//            them gives the same bits.
// Threading  Thread-compatible, but for ForwardBackward.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "adapters/adapter.h"
#include "vernier/v1/stage.pb.h"
#include "worker/models/model.h"
#include "worker/objectives/objective.h"
#include "worker/optim/optimizer.h"
#include "worker/trainer/shard_tree.h"

namespace vernier::trainer {

// A named fp32 buffer of a run. The span points into the run.
struct StateBuffer {
  std::string name;  // "parameter/...", "optimizer/exp_avg/..."
  std::vector<int64_t> shape;
  absl::Span<float> values;
};

class Run {
 public:
  // `model` outlives the run. `stage` is effective (defaults filled in).
  // `max_lanes`: of ForwardBackward at once.
  static absl::StatusOr<std::unique_ptr<Run>> Create(const models::CausalLm& model,
                                                     std::unique_ptr<adapters::Tuning> tuning,
                                                     const v1::TrainStage& stage, int max_lanes = 1);

  // Gradient of the sum over `micro_batches` of scale * weight x nll, written into `gradient` (resized, from
  // zero), and the sums of each row appended to `rows` in micro-batch order. One leaf of the shard tree.
  // After an error `rows` is as it was and `gradient` undefined. ResourceExhausted: out of memory. Internal:
  // LibTorch failed.
  // Several threads may call it at once, each with a `lane` of its own in [0, num_lanes()), and nobody
  // anything else meanwhile.
  absl::Status ForwardBackward(absl::Span<const objectives::LabelledBatch> micro_batches, double scale,
                               FlatGradient& gradient, std::vector<objectives::RowSums>& rows, int lane = 0);
  // 1 where the tuning method has no twins.
  int num_lanes() const { return static_cast<int>(lanes_.size()); }

  // The same sums without a gradient; same errors.
  absl::StatusOr<std::vector<objectives::RowSums>> Forward(const objectives::LabelledBatch& batch);

  // Clips `gradient` to `clip_norm` (0 = off) and applies one update with learning rate x `factor`. Returns
  // the norm before clipping; where that is not finite, nothing changed and the caller decides what follows.
  double OptimStep(FlatGradient& gradient, double clip_norm, double factor);

  // Parameters and optimiser buffers, in a fixed order.
  std::vector<StateBuffer> State();
  int64_t num_updates() const { return optimizer_->num_updates(); }
  void set_num_updates(int64_t n) { optimizer_->set_num_updates(n); }
  double learning_rate() const { return optimizer_->learning_rate(); }
  int64_t num_trained_parameters() const { return num_parameters_; }

  const models::CausalLm& model() const { return model_; }
  adapters::Tuning& tuning() { return *tuning_; }

 private:
  Run(const models::CausalLm& model, std::unique_ptr<adapters::Tuning> tuning);

  struct Lane {
    adapters::Tuning* tuning = nullptr;
    std::vector<adapters::TrainableParameter> trainable;
  };

  const models::CausalLm& model_;
  std::unique_ptr<adapters::Tuning> tuning_;
  std::vector<std::unique_ptr<adapters::Tuning>> twins_;
  std::vector<Lane> lanes_;  // tuning_, then its twins
  std::unique_ptr<objectives::Objective> objective_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  std::vector<adapters::TrainableParameter> trainable_;
  std::vector<int64_t> offsets_;  // of each parameter in a FlatGradient
  int64_t num_parameters_ = 0;
};

}  // namespace vernier::trainer
