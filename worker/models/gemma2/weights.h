// Which tensors a gemma2 model has.
#pragma once

#include "worker/models/common/decoder.h"
#include "worker/models/gemma2/config.h"

namespace vernier::models {

DecoderWeights DeclareGemma2Weights(const Gemma2Config& config);

}  // namespace vernier::models
