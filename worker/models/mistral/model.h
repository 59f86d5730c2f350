// Mistral: llama without biases, whose layers may look back only a window of tokens. Source:
// arXiv:2310.06825.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/models/common/model_folder.h"
#include "worker/models/model.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadMistral(const ModelFolder& folder,
                                                      at::ScalarType compute_dtype);

}  // namespace vernier::models
