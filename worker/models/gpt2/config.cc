#include "worker/models/gpt2/config.h"

#include "common/status_macros.h"
#include "worker/models/common/decoder_config.h"

namespace vernier::models {
namespace {

// Sizes under GPT-2's own names.
absl::StatusOr<ModelConfig> ReadGpt2Sizes(const ConfigReader& config) {
  ModelConfig model;
  model.model_type = "gpt2";
  VN_ASSIGN_OR_RETURN(model.vocab_size, config.Int("vocab_size", 1, kMaxVocabSize, 50257));
  VN_ASSIGN_OR_RETURN(model.hidden_size, config.Int("n_embd", 1, kMaxHiddenSize, 768));
  VN_ASSIGN_OR_RETURN(model.num_layers, config.Int("n_layer", 1, kMaxLayers, 12));
  VN_ASSIGN_OR_RETURN(model.num_heads, config.Int("n_head", 1, kMaxHeads, 12));
  model.num_kv_heads = model.num_heads;
  if (model.hidden_size % model.num_heads != 0)
    return config.Refuse("n_head", "n_embd must be a multiple of it");
  model.head_dim = model.hidden_size / model.num_heads;
  if (model.head_dim > kMaxHeadDim) return config.Refuse("n_head", "the heads would be too wide");
  VN_ASSIGN_OR_RETURN(model.intermediate_size,
                      config.Int("n_inner", 1, kMaxIntermediateSize, 4 * model.hidden_size));
  VN_ASSIGN_OR_RETURN(model.max_positions, config.Int("n_positions", 1, kMaxPositions, 1024));
  VN_ASSIGN_OR_RETURN(model.norm_epsilon, config.Number("layer_norm_epsilon", 0.0, 1.0, 1e-5));
  VN_ASSIGN_OR_RETURN(model.tied_head, config.Bool("tie_word_embeddings", true));
  return model;
}

}  // namespace

absl::StatusOr<Gpt2Config> ReadGpt2Config(const ConfigReader& config) {
  Gpt2Config result;
  DecoderTraits& traits = result.traits;
  VN_ASSIGN_OR_RETURN(traits.model, ReadGpt2Sizes(config));
  FillLayers(traits);
  traits.norm = NormKind::kLayer;
  VN_ASSIGN_OR_RETURN(traits.activation, ReadActivation(config, "activation_function", "gelu_new"));
  VN_ASSIGN_OR_RETURN(const bool scaled, config.Bool("scale_attn_weights", true));
  VN_ASSIGN_OR_RETURN(const bool scaled_by_layer, config.Bool("scale_attn_by_inverse_layer_idx", false));
  for (size_t i = 0; i < traits.layers.size(); ++i) {
    double& scale = traits.layers[i].attention.scale;
    if (!scaled) scale = 1.0;
    if (scaled_by_layer) scale /= static_cast<double>(i + 1);
  }
  VN_ASSIGN_OR_RETURN(const bool crosses, config.Bool("add_cross_attention", false));
  if (crosses) return config.Refuse("add_cross_attention", "the model must be a decoder alone");
  return result;
}

}  // namespace vernier::models
