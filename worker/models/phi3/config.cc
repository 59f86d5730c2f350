#include "worker/models/phi3/config.h"

#include "common/status_macros.h"
#include "worker/models/common/decoder_config.h"

namespace vernier::models {

absl::StatusOr<Phi3Config> ReadPhi3Config(const ConfigReader& config) {
  Phi3Config result;
  DecoderTraits& traits = result.traits;
  ModelConfig& model = traits.model;
  VN_ASSIGN_OR_RETURN(model, ReadSizes(config, "phi3", {.max_positions = 4096, .norm_epsilon = 1e-5}));
  VN_ASSIGN_OR_RETURN(const RotaryOptions rotary,
                      ReadRotaryOptions(config, {.head_dim = model.head_dim,
                                                 .max_positions = model.max_positions,
                                                 .original_max_positions = 4096,
                                                 .may_rotate_part = true,
                                                 .types = {"longrope", "su"}}));
  traits.rotaries = {rotary};
  FillLayers(traits);
  VN_ASSIGN_OR_RETURN(traits.activation, ReadActivation(config, "hidden_act", "silu"));
  VN_ASSIGN_OR_RETURN(const int64_t window, ReadWindow(config, /*fallback=*/0));
  for (LayerTraits& layer : traits.layers) layer.attention.window = window;
  return result;
}

}  // namespace vernier::models
