#include "worker/models/gemma3/weights.h"

#include "worker/models/common/gemma.h"

namespace vernier::models {

DecoderWeights DeclareGemma3Weights(const Gemma3Config& config) {
  return DeclareGemmaWeights(config.traits, config.attention_bias, /*head_norms=*/true);
}

}  // namespace vernier::models
