// What the Gemma families share.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "worker/models/common/decoder_config.h"

namespace vernier::models {

SizeDefaults GemmaSizes(int64_t max_positions);

// Caps where the config is silent; null in a config means none.
struct GemmaCaps {
  double attention_cap = 0.0;
  double logit_cap = 0.0;
};

// Norms, the scale of embeddings and scores, caps and the activation; after FillLayers.
// InvalidArgument: also for bidirectional attention.
absl::Status ReadGemmaTraits(const ConfigReader& config, const GemmaCaps& defaults, DecoderTraits& traits);

// model.* with four norms a block; with `head_norms` also on the heads of q and k.
DecoderWeights DeclareGemmaWeights(const DecoderTraits& traits, bool attention_bias, bool head_norms);

}  // namespace vernier::models
