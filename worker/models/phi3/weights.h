// Which tensors a phi3 model has.
#pragma once

#include "worker/models/common/decoder.h"
#include "worker/models/phi3/config.h"

namespace vernier::models {

DecoderWeights DeclarePhi3Weights(const Phi3Config& config);

}  // namespace vernier::models
