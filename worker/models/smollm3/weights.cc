#include "worker/models/smollm3/weights.h"

#include "worker/models/common/llama_weights.h"

namespace vernier::models {

DecoderWeights DeclareSmollm3Weights(const Smollm3Config& config) {
  return DeclareLlamaLike(
      config.traits,
      {.qkv_bias = config.attention_bias, .out_bias = config.attention_bias, .mlp_bias = config.mlp_bias});
}

}  // namespace vernier::models
