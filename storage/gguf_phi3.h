// GGUF files of architecture "phi3". Internal to the import.
#pragma once

#include "absl/status/statusor.h"
#include "storage/gguf_plan.h"

namespace vernier::storage {

// InvalidArgument: the file is inconsistent or a variant that is not supported (long factors of rotary
// positions); says what.
absl::StatusOr<GgufPlan> PlanGgufPhi3(const Gguf& gguf);

}  // namespace vernier::storage
