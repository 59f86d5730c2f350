#include "worker/models/qwen2/weights.h"

#include "worker/models/common/llama_weights.h"

namespace vernier::models {

DecoderWeights DeclareQwen2Weights(const Qwen2Config& config) {
  return DeclareLlamaLike(config.traits, {.qkv_bias = true});
}

}  // namespace vernier::models
