// Which tensors a gpt_neox model has.
#pragma once

#include "worker/models/common/decoder.h"
#include "worker/models/gpt_neox/config.h"

namespace vernier::models {

DecoderWeights DeclareGptNeoxWeights(const GptNeoxConfig& config);

}  // namespace vernier::models
