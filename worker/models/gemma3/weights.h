// Which tensors a gemma3 model has.
#pragma once

#include "worker/models/common/decoder.h"
#include "worker/models/gemma3/config.h"

namespace vernier::models {

DecoderWeights DeclareGemma3Weights(const Gemma3Config& config);

}  // namespace vernier::models
