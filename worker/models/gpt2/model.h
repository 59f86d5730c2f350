// GPT-2: pre-norm blocks of multi-head attention with learned positions and a GELU feed-forward.
// Source: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/models/common/model_folder.h"
#include "worker/models/model.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadGpt2(const ModelFolder& folder, at::ScalarType compute_dtype);

}  // namespace vernier::models
