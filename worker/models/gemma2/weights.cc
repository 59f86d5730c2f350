#include "worker/models/gemma2/weights.h"

#include "worker/models/common/gemma.h"

namespace vernier::models {

DecoderWeights DeclareGemma2Weights(const Gemma2Config& config) {
  return DeclareGemmaWeights(config.traits, config.attention_bias, /*head_norms=*/false);
}

}  // namespace vernier::models
