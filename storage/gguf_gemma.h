// GGUF files of architectures "gemma2" and "gemma3" (the text part). Internal to import and export.
#pragma once

#include "absl/status/statusor.h"
#include "storage/gguf_description.h"
#include "storage/gguf_plan.h"

namespace vernier::storage {

// InvalidArgument: the file is inconsistent or a variant that is not supported; says what.
absl::StatusOr<GgufPlan> PlanGgufGemma2(const Gguf& gguf);
absl::StatusOr<GgufPlan> PlanGgufGemma3(const Gguf& gguf);

// InvalidArgument: what the format cannot say of such a model; names the field.
absl::StatusOr<GgufDescription> DescribeGgufGemma2(const GgufModelFacts& facts);
absl::StatusOr<GgufDescription> DescribeGgufGemma3(const GgufModelFacts& facts);

}  // namespace vernier::storage
