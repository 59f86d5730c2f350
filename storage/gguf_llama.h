// GGUF files of architecture "llama": llama, and mistral where its window is not used. Internal to the
// import.
#pragma once

#include "absl/status/statusor.h"
#include "storage/gguf_plan.h"

namespace vernier::storage {

// InvalidArgument: the file is no plain llama or is inconsistent; says what.
absl::StatusOr<GgufPlan> PlanGgufLlama(const Gguf& gguf);

}  // namespace vernier::storage
