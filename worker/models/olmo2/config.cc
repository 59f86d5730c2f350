#include "worker/models/olmo2/config.h"

#include "common/status_macros.h"
#include "worker/models/common/decoder_config.h"

namespace vernier::models {

absl::StatusOr<Olmo2Config> ReadOlmo2Config(const ConfigReader& config) {
  Olmo2Config result;
  DecoderTraits& traits = result.traits;
  ModelConfig& model = traits.model;
  VN_ASSIGN_OR_RETURN(model, ReadSizes(config, "olmo2", {.max_positions = 2048, .norm_epsilon = 1e-5}));
  VN_ASSIGN_OR_RETURN(
      const RotaryOptions rotary,
      ReadRotaryOptions(config, {.head_dim = model.head_dim, .max_positions = model.max_positions}));
  traits.rotaries = {rotary};
  FillLayers(traits);
  VN_ASSIGN_OR_RETURN(traits.activation, ReadActivation(config, "hidden_act", "silu"));
  VN_ASSIGN_OR_RETURN(result.attention_bias, config.Bool("attention_bias", false));
  return result;
}

}  // namespace vernier::models
