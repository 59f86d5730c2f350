// GGUF files of architecture "phi3". Internal to import and export.
#pragma once

#include "absl/status/statusor.h"
#include "storage/gguf_description.h"
#include "storage/gguf_plan.h"

namespace vernier::storage {

// InvalidArgument: the file is inconsistent or a variant that is not supported (long factors of rotary
// positions); says what.
absl::StatusOr<GgufPlan> PlanGgufPhi3(const Gguf& gguf);

// InvalidArgument: what the format cannot say of such a model; names the field.
absl::StatusOr<GgufDescription> DescribeGgufPhi3(const GgufModelFacts& facts);

}  // namespace vernier::storage
