#include "worker/models/common/decoder_config.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/model_context.h"

namespace vernier::models {

absl::StatusOr<ModelConfig> ReadSizes(const ConfigReader& config, std::string model_type,
                                      const SizeDefaults& defaults) {
  ModelConfig model;
  model.model_type = std::move(model_type);
  VN_ASSIGN_OR_RETURN(model.vocab_size, config.Int("vocab_size", 1, kMaxVocabSize));
  VN_ASSIGN_OR_RETURN(model.hidden_size, config.Int("hidden_size", 1, kMaxHiddenSize));
  VN_ASSIGN_OR_RETURN(model.intermediate_size, config.Int("intermediate_size", 1, kMaxIntermediateSize));
  VN_ASSIGN_OR_RETURN(model.num_layers, config.Int("num_hidden_layers", 1, kMaxLayers));
  VN_ASSIGN_OR_RETURN(model.num_heads, config.Int("num_attention_heads", 1, kMaxHeads));
  const int64_t kv_fallback = config.IsNull("num_key_value_heads")
                                  ? model.num_heads
                                  : defaults.num_kv_heads.value_or(model.num_heads);
  VN_ASSIGN_OR_RETURN(model.num_kv_heads, config.Int("num_key_value_heads", 1, kMaxHeads, kv_fallback));
  if (model.num_heads % model.num_kv_heads != 0) {
    return config.Refuse("num_key_value_heads", "num_attention_heads must be a multiple of it");
  }
  const bool is_derived = !config.Has("head_dim") && !defaults.head_dim.has_value();
  if (is_derived && model.hidden_size % model.num_heads != 0) {
    return config.Refuse("num_attention_heads",
                         "hidden_size must be a multiple of it when there is no head_dim");
  }
  VN_ASSIGN_OR_RETURN(model.head_dim,
                      config.Int("head_dim", 2, kMaxHeadDim,
                                 defaults.head_dim.value_or(model.hidden_size / model.num_heads)));
  if (model.head_dim > kMaxHeadDim)
    return config.Refuse("num_attention_heads", "the heads would be too wide");
  VN_ASSIGN_OR_RETURN(model.max_positions,
                      config.Int("max_position_embeddings", 1, kMaxPositions, defaults.max_positions));
  VN_ASSIGN_OR_RETURN(model.norm_epsilon,
                      config.Number(defaults.norm_epsilon_name, 0.0, 1.0, defaults.norm_epsilon));
  VN_ASSIGN_OR_RETURN(model.tied_head, config.Bool("tie_word_embeddings", defaults.tied_head));
  return model;
}

absl::StatusOr<Activation> ReadActivation(const ConfigReader& config, absl::string_view name,
                                          absl::string_view fallback) {
  // gelu_fast is the tanh form with its constants written otherwise.
  constexpr absl::string_view kKnown[] = {"silu",     "swish", "gelu", "gelu_new", "gelu_pytorch_tanh",
                                          "gelu_fast"};
  VN_ASSIGN_OR_RETURN(const std::string activation, config.OneOf(name, kKnown, fallback));
  if (activation == "silu" || activation == "swish") return Activation::kSilu;
  return activation == "gelu" ? Activation::kGelu : Activation::kGeluTanh;
}

void FillLayers(DecoderTraits& traits) {
  ModelConfig& model = traits.model;
  if (!traits.rotaries.empty()) {
    const RotaryOptions& rotary = traits.rotaries.front();
    model.rope_theta = rotary.theta;
    const absl::string_view type = rotary.scaling == RotaryOptions::Scaling::kDynamic ? "dynamic"
                                   : rotary.scaling == RotaryOptions::Scaling::kYarn  ? "yarn"
                                                                                      : "";
    model.max_positions =
        storage::ScaledContext(type, rotary.factor, rotary.original_max_positions, model.max_positions);
  }
  LayerTraits layer;
  layer.attention.scale = 1.0 / std::sqrt(static_cast<double>(model.head_dim));
  layer.rotary = traits.rotaries.empty() ? -1 : 0;
  traits.layers.assign(model.num_layers, layer);
}

absl::StatusOr<int64_t> ReadWindow(const ConfigReader& config, int64_t fallback) {
  constexpr absl::string_view kField = "sliding_window";
  if (config.IsNull(kField)) return 0;
  if (!config.Has(kField)) return fallback;
  return config.Int(kField, 1, kMaxPositions);
}

absl::StatusOr<std::vector<bool>> ReadLayerTypes(const ConfigReader& config, int64_t num_layers) {
  constexpr absl::string_view kField = "layer_types";
  std::vector<bool> slides;
  if (!config.Has(kField)) return slides;
  VN_ASSIGN_OR_RETURN(const std::vector<std::string> types, config.Strings(kField, kMaxLayers));
  if (static_cast<int64_t>(types.size()) != num_layers) {
    return config.Bad(kField, absl::StrCat("has ", types.size(), " entries for ", num_layers, " layers"));
  }
  for (const std::string& type : types) {
    if (type != "full_attention" && type != "sliding_attention") {
      return config.Bad(kField, absl::StrCat("has the entry \"", Excerpt(type),
                                             "\"; supported: full_attention, sliding_attention"));
    }
    slides.push_back(type == "sliding_attention");
  }
  return slides;
}

}  // namespace vernier::models
