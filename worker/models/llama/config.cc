#include "worker/models/llama/config.h"

#include "common/status_macros.h"
#include "worker/models/common/decoder_config.h"

namespace vernier::models {

absl::StatusOr<LlamaConfig> ReadLlamaConfig(const ConfigReader& config) {
  LlamaConfig result;
  DecoderTraits& traits = result.traits;
  ModelConfig& model = traits.model;
  VN_ASSIGN_OR_RETURN(model, ReadSizes(config, "llama", {}));
  VN_ASSIGN_OR_RETURN(
      const RotaryOptions rotary,
      ReadRotaryOptions(config, {.head_dim = model.head_dim, .max_positions = model.max_positions}));
  traits.rotaries = {rotary};
  FillLayers(traits);
  VN_ASSIGN_OR_RETURN(traits.activation, ReadActivation(config, "hidden_act", "silu"));
  VN_ASSIGN_OR_RETURN(result.attention_bias, config.Bool("attention_bias", false));
  VN_ASSIGN_OR_RETURN(result.mlp_bias, config.Bool("mlp_bias", false));
  if (config.Has("sliding_window")) {
    return config.Refuse("sliding_window", "every token must see all tokens before it");
  }
  return result;
}

}  // namespace vernier::models
