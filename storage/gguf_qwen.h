// GGUF files of architectures "qwen2" and "qwen3" (dense). Internal to import and export.
#pragma once

#include "absl/status/statusor.h"
#include "storage/gguf_description.h"
#include "storage/gguf_plan.h"

namespace vernier::storage {

// InvalidArgument: the file is inconsistent or a variant that is not supported; says what.
absl::StatusOr<GgufPlan> PlanGgufQwen2(const Gguf& gguf);
absl::StatusOr<GgufPlan> PlanGgufQwen3(const Gguf& gguf);

// InvalidArgument: what the format cannot say of such a model; names the field.
absl::StatusOr<GgufDescription> DescribeGgufQwen2(const GgufModelFacts& facts);
absl::StatusOr<GgufDescription> DescribeGgufQwen3(const GgufModelFacts& facts);

}  // namespace vernier::storage
