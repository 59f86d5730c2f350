#include "worker/models/mistral/config.h"

#include "common/status_macros.h"
#include "worker/models/common/decoder_config.h"

namespace vernier::models {

absl::StatusOr<MistralConfig> ReadMistralConfig(const ConfigReader& config) {
  MistralConfig result;
  DecoderTraits& traits = result.traits;
  ModelConfig& model = traits.model;
  VN_ASSIGN_OR_RETURN(model, ReadSizes(config, "mistral", {.num_kv_heads = 8, .max_positions = 4096 * 32}));
  VN_ASSIGN_OR_RETURN(
      const RotaryOptions rotary,
      ReadRotaryOptions(config, {.head_dim = model.head_dim, .max_positions = model.max_positions}));
  traits.rotaries = {rotary};
  FillLayers(traits);
  VN_ASSIGN_OR_RETURN(traits.activation, ReadActivation(config, "hidden_act", "silu"));
  if (config.Has("layer_types")) {
    return config.Refuse("layer_types", "all layers of a mistral model have the same window");
  }
  VN_ASSIGN_OR_RETURN(const int64_t window, ReadWindow(config, /*fallback=*/4096));
  for (LayerTraits& layer : traits.layers) layer.attention.window = window;
  return result;
}

}  // namespace vernier::models
