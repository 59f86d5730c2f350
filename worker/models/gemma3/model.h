// Gemma 3, text only: Gemma 2 with norms on the heads of q and k in the place of caps, five windowed
// layers to one that sees all, and a theta for each kind. Source: arXiv:2503.19786.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/models/common/model_folder.h"
#include "worker/models/model.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadGemma3(const ModelFolder& folder, at::ScalarType compute_dtype);

}  // namespace vernier::models
