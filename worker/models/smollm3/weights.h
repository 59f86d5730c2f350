// Which tensors a smollm3 model has.
#pragma once

#include "worker/models/common/decoder.h"
#include "worker/models/smollm3/config.h"

namespace vernier::models {

DecoderWeights DeclareSmollm3Weights(const Smollm3Config& config);

}  // namespace vernier::models
