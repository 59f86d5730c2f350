#include "worker/models/qwen3/config.h"

#include "common/status_macros.h"
#include "worker/models/common/decoder_config.h"

namespace vernier::models {

absl::StatusOr<Qwen3Config> ReadQwen3Config(const ConfigReader& config) {
  Qwen3Config result;
  DecoderTraits& traits = result.traits;
  ModelConfig& model = traits.model;
  VN_ASSIGN_OR_RETURN(
      model, ReadSizes(config, "qwen3", {.num_kv_heads = 32, .head_dim = 128, .max_positions = 32768}));
  VN_ASSIGN_OR_RETURN(
      const RotaryOptions rotary,
      ReadRotaryOptions(config, {.head_dim = model.head_dim, .max_positions = model.max_positions}));
  traits.rotaries = {rotary};
  FillLayers(traits);
  VN_ASSIGN_OR_RETURN(traits.activation, ReadActivation(config, "hidden_act", "silu"));
  VN_ASSIGN_OR_RETURN(result.attention_bias, config.Bool("attention_bias", false));
  VN_ASSIGN_OR_RETURN(const bool uses_window, config.Bool("use_sliding_window", false));
  VN_ASSIGN_OR_RETURN(const int64_t from_layer, config.Int("max_window_layers", 0, kMaxLayers, 28));
  VN_ASSIGN_OR_RETURN(int64_t window, ReadWindow(config, /*fallback=*/4096));
  if (!uses_window) window = 0;
  const auto slides = [&](int64_t layer) { return window > 0 && layer >= from_layer; };
  VN_RETURN_IF_ERROR(SetWindows(config, window, slides, traits));
  return result;
}

}  // namespace vernier::models
