// The table of objectives: one line each.
#include "worker/objectives/causal_lm.h"
#include "worker/objectives/objective.h"

namespace vernier::objectives {
namespace {

struct Entry {
  const char* name;
  v1::Objective::LossCase loss;
  std::unique_ptr<Objective> (*make)(const v1::Objective&);
};

constexpr Entry kObjectives[] = {
    {"causal_lm", v1::Objective::kCausalLm,
     [](const v1::Objective&) -> std::unique_ptr<Objective> { return std::make_unique<CausalLmObjective>(); }},
};

}  // namespace

absl::StatusOr<std::unique_ptr<Objective>> CreateObjective(const v1::Objective& spec) {
  for (const Entry& entry : kObjectives) {
    if (entry.loss == spec.loss_case()) return entry.make(spec);
  }
  return absl::InvalidArgumentError("objective: no loss is set; use causal_lm");
}

std::vector<std::string> KnownObjectives() {
  std::vector<std::string> names;
  for (const Entry& entry : kObjectives) names.emplace_back(entry.name);
  return names;
}

}  // namespace vernier::objectives
