#include "worker/optim/sgd.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace vernier::optim {

Sgd::Sgd(Options options, std::vector<ParameterView> parameters)
    : options_(options), parameters_(std::move(parameters)) {
  if (options_.momentum == 0.0) return;
  for (const ParameterView& parameter : parameters_) momentum_.emplace_back(parameter.values.size(), 0.0f);
}

void Sgd::Step(absl::Span<const absl::Span<const float>> gradients, double factor) {
  VN_CHECK(gradients.size() == parameters_.size());
  ++num_updates_;
  const float rate = static_cast<float>(options_.learning_rate * factor);
  const float mu = static_cast<float>(options_.momentum);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    VN_CHECK(gradients[i].size() == parameters_[i].values.size());
    const float decay = parameters_[i].decay ? static_cast<float>(options_.weight_decay) : 0.0f;
    float* const p = parameters_[i].values.data();
    for (size_t k = 0; k < parameters_[i].values.size(); ++k) {
      float g = gradients[i][k] + decay * p[k];
      if (!momentum_.empty()) {
        // A zero buffer makes the first step b = g, as torch does.
        float& b = momentum_[i][k];
        b = mu * b + g;
        g = options_.nesterov ? g + mu * b : b;
      }
      p[k] -= rate * g;
    }
  }
}

std::vector<StateView> Sgd::State() {
  std::vector<StateView> state;
  for (size_t i = 0; i < momentum_.size(); ++i) {
    state.push_back({absl::StrCat("momentum/", parameters_[i].name), absl::MakeSpan(momentum_[i])});
  }
  return state;
}

}  // namespace vernier::optim
