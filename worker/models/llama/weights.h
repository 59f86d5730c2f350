// Which tensors a llama model has.
#pragma once

#include "worker/models/common/decoder.h"
#include "worker/models/llama/config.h"

namespace vernier::models {

DecoderWeights DeclareLlamaWeights(const LlamaConfig& config);

}  // namespace vernier::models
