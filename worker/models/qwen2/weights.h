// Which tensors a qwen2 model has.
#pragma once

#include "worker/models/common/decoder.h"
#include "worker/models/qwen2/config.h"

namespace vernier::models {

DecoderWeights DeclareQwen2Weights(const Qwen2Config& config);

}  // namespace vernier::models
