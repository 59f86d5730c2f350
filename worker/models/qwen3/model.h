// Qwen3 (dense): llama with a norm on each head of q and k before they turn. Source: arXiv:2505.09388.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/models/common/model_folder.h"
#include "worker/models/model.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadQwen3(const ModelFolder& folder, at::ScalarType compute_dtype);

}  // namespace vernier::models
