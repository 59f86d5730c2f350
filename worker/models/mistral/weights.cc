#include "worker/models/mistral/weights.h"

#include "worker/models/common/llama_weights.h"

namespace vernier::models {

DecoderWeights DeclareMistralWeights(const MistralConfig& config) {
  return DeclareLlamaLike(config.traits, {});
}

}  // namespace vernier::models
