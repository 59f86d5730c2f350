#include "worker/models/phi3/weights.h"

#include "worker/models/common/llama_weights.h"

namespace vernier::models {

DecoderWeights DeclarePhi3Weights(const Phi3Config& config) {
  return DeclareLlamaLike(config.traits, {.fused = true});
}

}  // namespace vernier::models
