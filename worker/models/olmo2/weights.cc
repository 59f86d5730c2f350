#include "worker/models/olmo2/weights.h"

#include "worker/models/common/llama_weights.h"

namespace vernier::models {

DecoderWeights DeclareOlmo2Weights(const Olmo2Config& config) {
  return DeclareLlamaLike(config.traits, {.qkv_bias = config.attention_bias,
                                          .out_bias = config.attention_bias,
                                          .head_norms = HeadNorms::kAllHeads,
                                          .attention_norm = "",
                                          .attention_out_norm = "post_attention_layernorm",
                                          .mlp_norm = "",
                                          .mlp_out_norm = "post_feedforward_layernorm"});
}

}  // namespace vernier::models
