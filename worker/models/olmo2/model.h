// OLMo 2: llama with norms after, not before, both halves of a block, and on q and k over all heads at
// once. Source: arXiv:2501.00656.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/models/common/model_folder.h"
#include "worker/models/model.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadOlmo2(const ModelFolder& folder, at::ScalarType compute_dtype);

}  // namespace vernier::models
