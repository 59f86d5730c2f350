#include "worker/models/llama/weights.h"

#include "worker/models/common/llama_weights.h"

namespace vernier::models {

DecoderWeights DeclareLlamaWeights(const LlamaConfig& config) {
  return DeclareLlamaLike(
      config.traits,
      {.qkv_bias = config.attention_bias, .out_bias = config.attention_bias, .mlp_bias = config.mlp_bias});
}

}  // namespace vernier::models
