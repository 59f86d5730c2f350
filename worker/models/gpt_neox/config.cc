#include "worker/models/gpt_neox/config.h"

#include "common/status_macros.h"
#include "worker/models/common/decoder_config.h"

namespace vernier::models {

absl::StatusOr<GptNeoxConfig> ReadGptNeoxConfig(const ConfigReader& config) {
  GptNeoxConfig result;
  DecoderTraits& traits = result.traits;
  ModelConfig& model = traits.model;
  VN_ASSIGN_OR_RETURN(
      model, ReadSizes(config, "gpt_neox", {.norm_epsilon = 1e-5, .norm_epsilon_name = "layer_norm_eps"}));
  if (model.num_kv_heads != model.num_heads || model.head_dim * model.num_heads != model.hidden_size) {
    return config.Refuse("num_attention_heads", "heads must divide hidden_size, each with its own keys");
  }
  VN_ASSIGN_OR_RETURN(const RotaryOptions rotary,
                      ReadRotaryOptions(config, {.head_dim = model.head_dim,
                                                 .max_positions = model.max_positions,
                                                 .may_rotate_part = true,
                                                 .default_rotated = 0.25,
                                                 .theta_name = "rotary_emb_base",
                                                 .rotated_name = "rotary_pct"}));
  traits.rotaries = {rotary};
  FillLayers(traits);
  traits.norm = NormKind::kLayer;
  traits.qkv_order = QkvOrder::kByHead;
  VN_ASSIGN_OR_RETURN(traits.activation, ReadActivation(config, "hidden_act", "gelu"));
  VN_ASSIGN_OR_RETURN(traits.parallel_residual, config.Bool("use_parallel_residual", true));
  VN_ASSIGN_OR_RETURN(result.attention_bias, config.Bool("attention_bias", true));
  return result;
}

}  // namespace vernier::models
