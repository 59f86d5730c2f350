// Phi-3, Phi-3.5 and Phi-4 (dense): llama whose q, k and v are one linear layer, as are gate and up, with
// long factors of rotary positions where asked for. Source: arXiv:2404.14219.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/models/common/model_folder.h"
#include "worker/models/model.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadPhi3(const ModelFolder& folder, at::ScalarType compute_dtype);

}  // namespace vernier::models
