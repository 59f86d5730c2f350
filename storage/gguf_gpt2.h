// GGUF files of architecture "gpt2". Internal to import and export.
#pragma once

#include "absl/status/statusor.h"
#include "storage/gguf_description.h"
#include "storage/gguf_plan.h"

namespace vernier::storage {

// InvalidArgument: the file is inconsistent; says what.
absl::StatusOr<GgufPlan> PlanGgufGpt2(const Gguf& gguf);

// InvalidArgument: what the format cannot say of such a model; names the field.
absl::StatusOr<GgufDescription> DescribeGgufGpt2(const GgufModelFacts& facts);

}  // namespace vernier::storage
