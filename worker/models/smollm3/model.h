// SmolLM3: llama in which every fourth layer has no rotary positions. Source:
// https://huggingface.co/blog/smollm3, arXiv:2501.18795.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "worker/models/common/model_folder.h"
#include "worker/models/model.h"

namespace vernier::models {

absl::StatusOr<std::unique_ptr<CausalLm>> LoadSmollm3(const ModelFolder& folder,
                                                      at::ScalarType compute_dtype);

}  // namespace vernier::models
