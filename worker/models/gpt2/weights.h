// Which tensors a gpt2 model has.
#pragma once

#include "worker/models/common/decoder.h"
#include "worker/models/gpt2/config.h"

namespace vernier::models {

DecoderWeights DeclareGpt2Weights(const Gpt2Config& config);

}  // namespace vernier::models
