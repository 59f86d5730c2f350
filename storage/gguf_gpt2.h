// GGUF files of architecture "gpt2". Internal to the import.
#pragma once

#include "absl/status/statusor.h"
#include "storage/gguf_plan.h"

namespace vernier::storage {

// InvalidArgument: the file is inconsistent; says what.
absl::StatusOr<GgufPlan> PlanGgufGpt2(const Gguf& gguf);

}  // namespace vernier::storage
