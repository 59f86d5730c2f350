// GGUF files of architectures "gemma2" and "gemma3" (the text part). Internal to the import.
#pragma once

#include "absl/status/statusor.h"
#include "storage/gguf_plan.h"

namespace vernier::storage {

// InvalidArgument: the file is inconsistent or a variant that is not supported; says what.
absl::StatusOr<GgufPlan> PlanGgufGemma2(const Gguf& gguf);
absl::StatusOr<GgufPlan> PlanGgufGemma3(const Gguf& gguf);

}  // namespace vernier::storage
