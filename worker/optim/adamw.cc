#include "worker/optim/adamw.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace vernier::optim {

AdamW::AdamW(Options options, std::vector<ParameterView> parameters)
    : options_(options), parameters_(std::move(parameters)) {
  for (const ParameterView& parameter : parameters_) {
    first_.emplace_back(parameter.values.size(), 0.0f);
    second_.emplace_back(parameter.values.size(), 0.0f);
  }
}

void AdamW::Step(absl::Span<const absl::Span<const float>> gradients, double factor) {
  VN_CHECK(gradients.size() == parameters_.size());
  ++num_updates_;
  const double rate = options_.learning_rate * factor;
  const double correction1 = 1.0 - std::pow(options_.beta1, static_cast<double>(num_updates_));
  const double correction2 = 1.0 - std::pow(options_.beta2, static_cast<double>(num_updates_));
  const float step_size = static_cast<float>(rate / correction1);
  const float root_correction2 = static_cast<float>(std::sqrt(correction2));
  const float beta1 = static_cast<float>(options_.beta1);
  const float beta2 = static_cast<float>(options_.beta2);
  const float rest1 = static_cast<float>(1.0 - options_.beta1);
  const float rest2 = static_cast<float>(1.0 - options_.beta2);
  const float epsilon = static_cast<float>(options_.epsilon);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    VN_CHECK(gradients[i].size() == parameters_[i].values.size());
    const float keep = static_cast<float>(1.0 - (parameters_[i].decay ? rate * options_.weight_decay : 0.0));
    float* const p = parameters_[i].values.data();
    float* const m = first_[i].data();
    float* const v = second_[i].data();
    const float* const g = gradients[i].data();
    for (size_t k = 0; k < parameters_[i].values.size(); ++k) {
      m[k] = beta1 * m[k] + rest1 * g[k];
      v[k] = beta2 * v[k] + rest2 * g[k] * g[k];
      p[k] = keep * p[k] - step_size * (m[k] / (std::sqrt(v[k]) / root_correction2 + epsilon));
    }
  }
}

std::vector<StateView> AdamW::State() {
  std::vector<StateView> state;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    state.push_back({absl::StrCat("exp_avg/", parameters_[i].name), absl::MakeSpan(first_[i])});
    state.push_back({absl::StrCat("exp_avg_sq/", parameters_[i].name), absl::MakeSpan(second_[i])});
  }
  return state;
}

}  // namespace vernier::optim
