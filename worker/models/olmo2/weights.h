// Which tensors a olmo2 model has.
#pragma once

#include "worker/models/common/decoder.h"
#include "worker/models/olmo2/config.h"

namespace vernier::models {

DecoderWeights DeclareOlmo2Weights(const Olmo2Config& config);

}  // namespace vernier::models
