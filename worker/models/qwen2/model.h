// Qwen2 and Qwen2.5: llama with biases on q, k and v, and windows on the upper layers where asked for.
// Source: arXiv:2407.10671.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/models/common/model_folder.h"
#include "worker/models/model.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadQwen2(const ModelFolder& folder, at::ScalarType compute_dtype);

}  // namespace vernier::models
