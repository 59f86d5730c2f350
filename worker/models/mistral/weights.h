// Which tensors a mistral model has.
#pragma once

#include "worker/models/common/decoder.h"
#include "worker/models/mistral/config.h"

namespace vernier::models {

DecoderWeights DeclareMistralWeights(const MistralConfig& config);

}  // namespace vernier::models
