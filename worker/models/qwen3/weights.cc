#include "worker/models/qwen3/weights.h"

#include "worker/models/common/llama_weights.h"

namespace vernier::models {

DecoderWeights DeclareQwen3Weights(const Qwen3Config& config) {
  return DeclareLlamaLike(config.traits, {.qkv_bias = config.attention_bias,
                                          .out_bias = config.attention_bias,
                                          .head_norms = HeadNorms::kEachHead});
}

}  // namespace vernier::models
