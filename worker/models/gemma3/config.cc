#include "worker/models/gemma3/config.h"

#include "common/status_macros.h"
#include "worker/models/common/decoder_config.h"
#include "worker/models/common/gemma.h"

namespace vernier::models {
namespace {

constexpr double kGlobalTheta = 1e6;
constexpr double kLocalTheta = 1e4;

// Of layers that see all tokens and of windowed ones: newer files keep an object for each in rope_parameters,
// older ones rope_theta and rope_scaling for the first and rope_local_base_freq for the others.
absl::StatusOr<std::vector<RotaryOptions>> ReadRotaries(const ConfigReader& config,
                                                        const ModelConfig& model) {
  RotaryFields global = {.head_dim = model.head_dim, .max_positions = model.max_positions};
  VN_ASSIGN_OR_RETURN(global.default_theta, config.Number("rope_theta", 1.0, 1e12, kGlobalTheta));
  RotaryFields local = {.head_dim = model.head_dim, .max_positions = model.max_positions};
  VN_ASSIGN_OR_RETURN(local.default_theta, config.Number("rope_local_base_freq", 1.0, 1e12, kLocalTheta));
  std::vector<RotaryOptions> rotaries = {{.head_dim = model.head_dim, .theta = global.default_theta},
                                         {.head_dim = model.head_dim, .theta = local.default_theta}};
  if (config.Has("rope_scaling")) {
    VN_ASSIGN_OR_RETURN(const ConfigReader rope, config.Object("rope_scaling"));
    VN_ASSIGN_OR_RETURN(rotaries[0], ReadRotaryObject(rope, global));
  } else if (config.Has("rope_parameters")) {
    VN_ASSIGN_OR_RETURN(const ConfigReader rope, config.Object("rope_parameters"));
    if (rope.Has("rope_type") || rope.Has("rope_theta")) {
      return config.Refuse("rope_parameters",
                           "it must hold full_attention and sliding_attention, one object each");
    }
    constexpr absl::string_view kKinds[] = {"full_attention", "sliding_attention"};
    for (int i = 0; i < 2; ++i) {
      if (!rope.Has(kKinds[i])) continue;
      VN_ASSIGN_OR_RETURN(const ConfigReader kind, rope.Object(kKinds[i]));
      VN_ASSIGN_OR_RETURN(rotaries[i], ReadRotaryObject(kind, i == 0 ? global : local));
    }
  }
  return rotaries;
}

}  // namespace

absl::StatusOr<Gemma3Config> ReadGemma3Config(const ConfigReader& config) {
  Gemma3Config result;
  DecoderTraits& traits = result.traits;
  ModelConfig& model = traits.model;
  VN_ASSIGN_OR_RETURN(model, ReadSizes(config, "gemma3_text", GemmaSizes(131072)));
  VN_ASSIGN_OR_RETURN(traits.rotaries, ReadRotaries(config, model));
  FillLayers(traits);
  VN_RETURN_IF_ERROR(ReadGemmaTraits(config, {}, traits));
  VN_ASSIGN_OR_RETURN(result.attention_bias, config.Bool("attention_bias", false));
  VN_ASSIGN_OR_RETURN(const int64_t window, ReadWindow(config, /*fallback=*/4096));
  // transformers writes the older name with an underscore.
  const absl::string_view pattern_name =
      config.Has("_sliding_window_pattern") ? "_sliding_window_pattern" : "sliding_window_pattern";
  VN_ASSIGN_OR_RETURN(const int64_t pattern, config.Int(pattern_name, 1, kMaxLayers, 6));
  const auto slides = [&](int64_t layer) { return (layer + 1) % pattern != 0; };
  VN_RETURN_IF_ERROR(SetWindows(config, window, slides, traits));
  for (LayerTraits& layer : traits.layers) layer.rotary = layer.attention.window > 0 ? 1 : 0;
  return result;
}

}  // namespace vernier::models
