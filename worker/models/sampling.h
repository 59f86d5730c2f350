// Which token comes next, given the logits: a pure function.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "worker/models/generate.h"

namespace vernier::models {

// InvalidArgument: an option out of its range (named).
absl::Status CheckGenerateOptions(const GenerateOptions& options);

// The id of the token at `position` of the text. Temperature, then top_k, then top_p over what top_k left, as
// transformers does; ties go to the lower id. `options` are sound.
// FailedPrecondition: the logits are not numbers (the weights have diverged).
absl::StatusOr<int64_t> PickToken(absl::Span<const float> logits_V, const GenerateOptions& options,
                                  int64_t position);

}  // namespace vernier::models
