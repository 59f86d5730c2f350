// Gemma 2: norms before and after both halves of a block, scaled embeddings, a GELU gate, capped scores
// and logits, windows on every other layer. Source: arXiv:2408.00118.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/models/common/model_folder.h"
#include "worker/models/model.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadGemma2(const ModelFolder& folder, at::ScalarType compute_dtype);

}  // namespace vernier::models
