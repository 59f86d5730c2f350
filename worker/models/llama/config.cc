#include "worker/models/llama/config.h"

#include "common/status_macros.h"

namespace vernier::models {

absl::StatusOr<LlamaConfig> ReadLlamaConfig(const ConfigReader& config) {
  LlamaConfig result;
  ModelConfig& model = result.model;
  model.model_type = "llama";
  VN_ASSIGN_OR_RETURN(model.vocab_size, config.Int("vocab_size", 1, kMaxVocabSize));
  VN_ASSIGN_OR_RETURN(model.hidden_size, config.Int("hidden_size", 1, kMaxHiddenSize));
  VN_ASSIGN_OR_RETURN(model.intermediate_size, config.Int("intermediate_size", 1, kMaxIntermediateSize));
  VN_ASSIGN_OR_RETURN(model.num_layers, config.Int("num_hidden_layers", 1, kMaxLayers));
  VN_ASSIGN_OR_RETURN(model.num_heads, config.Int("num_attention_heads", 1, kMaxHeads));
  VN_ASSIGN_OR_RETURN(model.num_kv_heads, config.Int("num_key_value_heads", 1, kMaxHeads, model.num_heads));
  if (model.num_heads % model.num_kv_heads != 0) {
    return config.Refuse("num_key_value_heads", "num_attention_heads must be a multiple of it");
  }
  if (!config.Has("head_dim") && model.hidden_size % model.num_heads != 0) {
    return config.Refuse("num_attention_heads",
                         "hidden_size must be a multiple of it when there is no head_dim");
  }
  VN_ASSIGN_OR_RETURN(model.head_dim,
                      config.Int("head_dim", 2, kMaxHeadDim, model.hidden_size / model.num_heads));
  if (model.head_dim % 2 != 0) return config.Refuse("head_dim", "rotary positions need an even number");
  VN_ASSIGN_OR_RETURN(model.max_positions, config.Int("max_position_embeddings", 1, kMaxPositions, 2048));
  VN_ASSIGN_OR_RETURN(model.norm_epsilon, config.Number("rms_norm_eps", 0.0, 1.0, 1e-6));
  VN_ASSIGN_OR_RETURN(model.tied_head, config.Bool("tie_word_embeddings", false));
  VN_ASSIGN_OR_RETURN(result.attention_bias, config.Bool("attention_bias", false));
  VN_ASSIGN_OR_RETURN(result.mlp_bias, config.Bool("mlp_bias", false));
  VN_ASSIGN_OR_RETURN(result.rotary, ReadRotaryOptions(config, model.head_dim, model.max_positions));
  model.rope_theta = result.rotary.theta;
  constexpr absl::string_view kActivations[] = {"silu"};
  VN_RETURN_IF_ERROR(config.OneOf("hidden_act", kActivations, "silu").status());
  if (config.Has("sliding_window")) {
    return config.Refuse("sliding_window", "every token must see all tokens before it");
  }
  return result;
}

}  // namespace vernier::models
