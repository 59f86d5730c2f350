#include "worker/models/smollm3/config.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/models/common/decoder_config.h"

namespace vernier::models {
namespace {

// Which layers have rotary positions: no_rope_layers, whose entries are 1 where they have, or all but every
// no_rope_layer_interval-th.
absl::StatusOr<std::vector<bool>> ReadTurns(const ConfigReader& config, int64_t num_layers) {
  constexpr absl::string_view kField = "no_rope_layers";
  VN_ASSIGN_OR_RETURN(const int64_t interval, config.Int("no_rope_layer_interval", 1, kMaxLayers, 4));
  VN_ASSIGN_OR_RETURN(const std::vector<double> listed, config.Numbers(kField, 0, 1, kMaxLayers));
  if (config.Has(kField) && static_cast<int64_t>(listed.size()) < num_layers) {
    return config.Bad(kField, absl::StrCat("has ", listed.size(), " entries for ", num_layers, " layers"));
  }
  std::vector<bool> turns;
  for (int64_t i = 0; i < num_layers; ++i) {
    turns.push_back(listed.empty() ? (i + 1) % interval != 0 : listed[i] != 0);
  }
  return turns;
}

}  // namespace

absl::StatusOr<Smollm3Config> ReadSmollm3Config(const ConfigReader& config) {
  Smollm3Config result;
  DecoderTraits& traits = result.traits;
  ModelConfig& model = traits.model;
  VN_ASSIGN_OR_RETURN(
      model, ReadSizes(config, "smollm3", {.num_kv_heads = 4, .max_positions = 32768, .tied_head = true}));
  VN_ASSIGN_OR_RETURN(
      const RotaryOptions rotary,
      ReadRotaryOptions(
          config, {.head_dim = model.head_dim, .max_positions = model.max_positions, .default_theta = 2e6}));
  traits.rotaries = {rotary};
  FillLayers(traits);
  VN_ASSIGN_OR_RETURN(traits.activation, ReadActivation(config, "hidden_act", "silu"));
  VN_ASSIGN_OR_RETURN(result.attention_bias, config.Bool("attention_bias", false));
  VN_ASSIGN_OR_RETURN(result.mlp_bias, config.Bool("mlp_bias", false));
  VN_ASSIGN_OR_RETURN(const std::vector<bool> turns, ReadTurns(config, model.num_layers));
  for (int64_t i = 0; i < model.num_layers; ++i) {
    if (!turns[i]) traits.layers[i].rotary = -1;
  }
  VN_ASSIGN_OR_RETURN(const bool uses_window, config.Bool("use_sliding_window", false));
  VN_ASSIGN_OR_RETURN(int64_t window, ReadWindow(config, /*fallback=*/0));
  if (!uses_window) window = 0;
  VN_RETURN_IF_ERROR(SetWindows(
      config, window, [&](int64_t layer) { return window > 0 && !turns[layer]; }, traits));
  return result;
}

}  // namespace vernier::models
