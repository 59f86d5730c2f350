// What the config.json files of most families share: sizes, windows by layer, activations.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/models/common/config_reader.h"
#include "worker/models/common/decoder.h"

namespace vernier::models {

// Where a family's defaults, which are transformers', differ from llama's.
struct SizeDefaults {
  std::optional<int64_t> num_kv_heads;  // unset: as many as heads
  std::optional<int64_t> head_dim;      // unset: hidden_size / num_attention_heads
  int64_t max_positions = 2048;
  double norm_epsilon = 1e-6;
  absl::string_view norm_epsilon_name = "rms_norm_eps";
  bool tied_head = false;
};

// model_type and the sizes under their usual names (vocab_size, hidden_size, intermediate_size,
// num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim, max_position_embeddings,
// tie_word_embeddings). Leaves rope_theta and eos_token_ids.
absl::StatusOr<ModelConfig> ReadSizes(const ConfigReader& config, std::string model_type,
                                      const SizeDefaults& defaults);

// The field `name` as one of silu (swish), gelu, gelu_new, gelu_pytorch_tanh and gelu_fast.
absl::StatusOr<Activation> ReadActivation(const ConfigReader& config, absl::string_view name,
                                          absl::string_view fallback);

// Sets model.rope_theta and model.max_positions by the first of traits.rotaries, and gives every layer the
// scale 1 / sqrt(head_dim): what all families start from.
void FillLayers(DecoderTraits& traits);

// The field sliding_window, at least 1; 0: none (null). `fallback` where it is absent.
absl::StatusOr<int64_t> ReadWindow(const ConfigReader& config, int64_t fallback);

// Puts `window` on the layers that the field layer_types calls sliding_attention (the others are
// full_attention); where there is no such field, on those for which `slides(layer)` is true.
template <typename Slides>
absl::Status SetWindows(const ConfigReader& config, int64_t window, const Slides& slides,
                        DecoderTraits& traits);

// layer_types as booleans: whether it slides; empty: no such field.
absl::StatusOr<std::vector<bool>> ReadLayerTypes(const ConfigReader& config, int64_t num_layers);

template <typename Slides>
absl::Status SetWindows(const ConfigReader& config, int64_t window, const Slides& slides,
                        DecoderTraits& traits) {
  auto types = ReadLayerTypes(config, traits.model.num_layers);
  if (!types.ok()) return types.status();
  for (int64_t i = 0; i < traits.model.num_layers; ++i) {
    const bool is_sliding = types->empty() ? slides(i) : (*types)[i];
    if (is_sliding && window == 0) return config.Refuse("sliding_window", "layers that slide need a size");
    traits.layers[i].attention.window = is_sliding ? window : 0;
  }
  return absl::OkStatus();
}

}  // namespace vernier::models
