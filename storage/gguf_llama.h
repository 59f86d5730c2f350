// GGUF files of architecture "llama": llama, and mistral where its window is not used. Internal to the
// import.
#pragma once

#include "absl/status/statusor.h"
#include "storage/gguf_description.h"
#include "storage/gguf_plan.h"

namespace vernier::storage {

// InvalidArgument: the file is no plain llama or is inconsistent; says what.
absl::StatusOr<GgufPlan> PlanGgufLlama(const Gguf& gguf);

// InvalidArgument: what the format cannot say of such a model; names the field.
absl::StatusOr<GgufDescription> DescribeGgufLlama(const GgufModelFacts& facts);
// Mistral models without a window that matters, as files have them: of architecture "llama".
absl::StatusOr<GgufDescription> DescribeGgufMistral(const GgufModelFacts& facts);

}  // namespace vernier::storage
