// The table of tuning methods: one line each.
#include "adapters/adapter.h"
#include "adapters/full.h"
#include "adapters/lora.h"

namespace vernier::adapters {
namespace {

struct Entry {
  const char* name;
  v1::Tuning::MethodCase method;
  absl::StatusOr<std::unique_ptr<Tuning>> (*create)(const models::CausalLm&, const v1::Tuning&,
                                                    uint64_t seed);
};

constexpr Entry kMethods[] = {
    {"lora", v1::Tuning::kLora, CreateLora},
    {"full", v1::Tuning::kFull, CreateFull},
};

}  // namespace

absl::StatusOr<std::unique_ptr<Tuning>> CreateTuning(const models::CausalLm& model, const v1::Tuning& spec,
                                                     uint64_t seed) {
  for (const Entry& entry : kMethods) {
    if (entry.method == spec.method_case()) return entry.create(model, spec, seed);
  }
  return absl::InvalidArgumentError("tuning: no method is set; use lora or full");
}

std::vector<std::string> KnownTuningMethods() {
  std::vector<std::string> names;
  for (const Entry& entry : kMethods) names.emplace_back(entry.name);
  return names;
}

}  // namespace vernier::adapters
