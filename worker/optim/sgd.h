// Stochastic gradient descent with momentum, as torch.optim.SGD (dampening 0):
//   g <- g + wd p;  b <- mu b + g (b = g at first);  p <- p - lr (nesterov ? g + mu b : b)
#pragma once

#include "worker/optim/optimizer.h"

namespace vernier::optim {

class Sgd final : public Optimizer {
 public:
  struct Options {
    double learning_rate = 1e-2;
    double momentum = 0.0;
    bool nesterov = false;
    double weight_decay = 0.0;
  };
  Sgd(Options options, std::vector<ParameterView> parameters);
  double learning_rate() const override { return options_.learning_rate; }
  void Step(absl::Span<const absl::Span<const float>> gradients, double factor) override;
  std::vector<StateView> State() override;

 private:
  const Options options_;
  const std::vector<ParameterView> parameters_;
  std::vector<std::vector<float>> momentum_;  // empty without momentum
};

}  // namespace vernier::optim
