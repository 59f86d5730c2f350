// Llama and what shares its architecture: pre-norm blocks of grouped-query attention with rotary positions
// and a SwiGLU feed-forward. Source: arXiv:2302.13971, arXiv:2307.09288.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/models/common/model_folder.h"
#include "worker/models/model.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadLlama(const ModelFolder& folder, at::ScalarType compute_dtype);

}  // namespace vernier::models
