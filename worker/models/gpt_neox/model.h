// GPT-NeoX and Pythia: layer norms, one linear layer for q, k and v head by head, rotary positions on a
// part of each head, attention and feed-forward side by side. Source: arXiv:2204.06745.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/models/common/model_folder.h"
#include "worker/models/model.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadGptNeox(const ModelFolder& folder,
                                                      at::ScalarType compute_dtype);

}  // namespace vernier::models
