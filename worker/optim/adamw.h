// AdamW: Adam with decoupled weight decay.
//   p <- p (1 - lr wd);  m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2
//   p <- p - lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
// Source: arXiv 1711.05101, algorithm 2 (with the schedule folded into lr); the same order of operations as torch.optim.AdamW.
#pragma once

#include "worker/optim/optimizer.h"

namespace vernier::optim {

class AdamW final : public Optimizer {
 public:
  struct Options {
    double learning_rate = 2e-4;
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 0.0;
  };
  AdamW(Options options, std::vector<ParameterView> parameters);
  double learning_rate() const override { return options_.learning_rate; }
  void Step(absl::Span<const absl::Span<const float>> gradients, double factor) override;
  std::vector<StateView> State() override;

 private:
  const Options options_;
  const std::vector<ParameterView> parameters_;
  std::vector<std::vector<float>> first_;   // m, per parameter
  std::vector<std::vector<float>> second_;  // v
};

}  // namespace vernier::optim
