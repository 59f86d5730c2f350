// Which tensors a qwen3 model has.
#pragma once

#include "worker/models/common/decoder.h"
#include "worker/models/qwen3/config.h"

namespace vernier::models {

DecoderWeights DeclareQwen3Weights(const Qwen3Config& config);

}  // namespace vernier::models
