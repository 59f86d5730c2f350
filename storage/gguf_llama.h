// GGUF files of architecture "llama". Internal to the import.
#pragma once

#include "absl/status/statusor.h"
#include "storage/gguf_plan.h"

namespace vernier::storage {

// InvalidArgument: the file is no plain llama (mixture of experts, scaled rotary positions, partial rotation)
// or is inconsistent; says what.
absl::StatusOr<GgufPlan> PlanGgufLlama(const Gguf& gguf);

}  // namespace vernier::storage
