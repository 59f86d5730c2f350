// Update rules over plain fp32 buffers. Each rule is elementwise, so the result does not depend on the number of
// threads, ranks or on how parameters are grouped.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "vernier/v1/optim.pb.h"

namespace vernier::optim {

// One parameter tensor, flattened. The memory belongs to the caller and stays where it is.
struct ParameterView {
  std::string name;
  absl::Span<float> values;
  bool decay = true;  // false for biases and norms: weight decay leaves them alone
};

// A named moment buffer, for checkpoints.
struct StateView {
  std::string name;  // "<slot>/<parameter>", e.g. "exp_avg/model.layers.0..."
  absl::Span<float> values;
};

// Thread-compatible.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  virtual double learning_rate() const = 0;
  // Applies one update with rate learning_rate() * `factor`; `gradients[i]` matches parameter i in size.
  virtual void Step(absl::Span<const absl::Span<const float>> gradients, double factor) = 0;
  // Every buffer that the next step depends on, in a fixed order; writing through the spans restores them.
  virtual std::vector<StateView> State() = 0;
  // Updates made so far (bias correction); part of a checkpoint.
  int64_t num_updates() const { return num_updates_; }
  void set_num_updates(int64_t n) { num_updates_ = n; }

 protected:
  int64_t num_updates_ = 0;
};

// The rule that `spec` names, its defaults filled in (registry.cc).
absl::StatusOr<std::unique_ptr<Optimizer>> CreateOptimizer(const v1::Optimizer& spec,
                                                           std::vector<ParameterView> parameters);

// Names of all rules, as in optim.proto.
std::vector<std::string> KnownOptimizers();

// Euclidean norm over all spans, summed in double over fixed chunks of 4,096 values in order: the same bits whatever
// the number of threads.
double FixedOrderNorm(absl::Span<const absl::Span<const float>> spans);

}  // namespace vernier::optim
