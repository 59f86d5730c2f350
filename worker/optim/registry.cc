// The table of update rules: one line each.
#include <cmath>
#include <functional>
#include <utility>

#include "common/registry.h"
#include "worker/optim/adamw.h"
#include "worker/optim/optimizer.h"
#include "worker/optim/sgd.h"

namespace vernier::optim {
namespace {

std::unique_ptr<Optimizer> MakeAdamW(const v1::Optimizer& spec, std::vector<ParameterView> parameters) {
  const v1::AdamW& o = spec.adamw();
  AdamW::Options options;
  if (o.has_learning_rate()) options.learning_rate = o.learning_rate();
  if (o.has_beta1()) options.beta1 = o.beta1();
  if (o.has_beta2()) options.beta2 = o.beta2();
  if (o.has_epsilon()) options.epsilon = o.epsilon();
  if (o.has_weight_decay()) options.weight_decay = o.weight_decay();
  return std::make_unique<AdamW>(options, std::move(parameters));
}

std::unique_ptr<Optimizer> MakeSgd(const v1::Optimizer& spec, std::vector<ParameterView> parameters) {
  const v1::Sgd& o = spec.sgd();
  Sgd::Options options;
  if (o.has_learning_rate()) options.learning_rate = o.learning_rate();
  options.momentum = o.momentum();
  options.nesterov = o.nesterov();
  options.weight_decay = o.weight_decay();
  return std::make_unique<Sgd>(options, std::move(parameters));
}

struct Entry {
  absl::string_view name;
  v1::Optimizer::RuleCase rule;
  std::unique_ptr<Optimizer> (*make)(const v1::Optimizer&, std::vector<ParameterView>);
};

constexpr Entry kOptimizers[] = {
    {"adamw", v1::Optimizer::kAdamw, MakeAdamW},
    {"sgd", v1::Optimizer::kSgd, MakeSgd},
};

}  // namespace

absl::StatusOr<std::unique_ptr<Optimizer>> CreateOptimizer(const v1::Optimizer& spec,
                                                           std::vector<ParameterView> parameters) {
  for (const Entry& entry : kOptimizers) {
    if (entry.rule == spec.rule_case()) return entry.make(spec, std::move(parameters));
  }
  return absl::InvalidArgumentError("optimizer: no rule is set; use adamw or sgd");
}

std::vector<std::string> KnownOptimizers() {
  std::vector<std::string> names;
  for (const Entry& entry : kOptimizers) names.emplace_back(entry.name);
  return names;
}

double FixedOrderNorm(absl::Span<const absl::Span<const float>> spans) {
  constexpr size_t kChunk = 4096;
  double total = 0.0;
  for (const absl::Span<const float>& span : spans) {
    for (size_t begin = 0; begin < span.size(); begin += kChunk) {
      double chunk = 0.0;
      const size_t end = std::min(span.size(), begin + kChunk);
      for (size_t k = begin; k < end; ++k) chunk += double{span[k]} * double{span[k]};
      total += chunk;
    }
  }
  return std::sqrt(total);
}

}  // namespace vernier::optim
