// What is minimised. An objective turns the hidden states of a micro-batch into a scalar to differentiate and into
// the sums that are reported; it never normalises by anything local (law 2).
//
// Letters  T tokens of the micro-batch, D hidden width, V vocabulary, R rows.
// Errors   none: inputs were validated when the data was prepared.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "vernier/v1/objective.pb.h"
#include "worker/models/model.h"

namespace vernier::objectives {

// How far the loss of one row depends on others; decides what may be split over micro-batches and ranks.
enum class Coupling { kToken, kRow, kGroup, kBatch };

// A micro-batch with its targets: token t predicts ids[t + 1] where weights[t + 1] > 0 and t + 1 is in the same row.
struct LabelledBatch {
  models::TokenBatch tokens;
  std::vector<float> weights;  // [T], weight of token t as a target
};

// Sums over the trained tokens of one row; they add up over micro-batches and ranks in row order.
struct RowSums {
  double weighted_nll = 0.0;
  double weight = 0.0;
  double nll = 0.0;           // unweighted
  int64_t num_targets = 0;
  int64_t num_correct = 0;    // arg-max hits
};

struct ObjectiveResult {
  at::Tensor loss;            // scalar fp32: scale * sum of weight x nll; differentiable when asked for
  std::vector<RowSums> rows;  // [R]
};

// Thread-compatible.
class Objective {
 public:
  virtual ~Objective() = default;
  virtual Coupling coupling() const = 0;
  // `scale` is 1 / (sum of weights over the global batch), a constant known before the step.
  virtual ObjectiveResult Compute(const models::CausalLm& model, const models::Overlay& overlay,
                                  const LabelledBatch& batch, double scale) const = 0;
};

// The loss that `spec` names (registry.cc).
absl::StatusOr<std::unique_ptr<Objective>> CreateObjective(const v1::Objective& spec);

std::vector<std::string> KnownObjectives();

}  // namespace vernier::objectives
