// GGUF files of architectures "qwen2" and "qwen3" (dense). Internal to the import.
#pragma once

#include "absl/status/statusor.h"
#include "storage/gguf_plan.h"

namespace vernier::storage {

// InvalidArgument: the file is inconsistent or a variant that is not supported; says what.
absl::StatusOr<GgufPlan> PlanGgufQwen2(const Gguf& gguf);
absl::StatusOr<GgufPlan> PlanGgufQwen3(const Gguf& gguf);

}  // namespace vernier::storage
