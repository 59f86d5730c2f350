#include "worker/models/gemma2/config.h"

#include "common/status_macros.h"
#include "worker/models/common/decoder_config.h"
#include "worker/models/common/gemma.h"

namespace vernier::models {

absl::StatusOr<Gemma2Config> ReadGemma2Config(const ConfigReader& config) {
  Gemma2Config result;
  DecoderTraits& traits = result.traits;
  ModelConfig& model = traits.model;
  VN_ASSIGN_OR_RETURN(model, ReadSizes(config, "gemma2", GemmaSizes(8192)));
  VN_ASSIGN_OR_RETURN(
      const RotaryOptions rotary,
      ReadRotaryOptions(config, {.head_dim = model.head_dim, .max_positions = model.max_positions}));
  traits.rotaries = {rotary};
  FillLayers(traits);
  VN_RETURN_IF_ERROR(ReadGemmaTraits(config, {.attention_cap = 50.0, .logit_cap = 30.0}, traits));
  VN_ASSIGN_OR_RETURN(result.attention_bias, config.Bool("attention_bias", false));
  VN_ASSIGN_OR_RETURN(const int64_t window, ReadWindow(config, /*fallback=*/4096));
  VN_RETURN_IF_ERROR(SetWindows(
      config, window, [](int64_t layer) { return layer % 2 == 0; }, traits));
  return result;
}

}  // namespace vernier::models
