#include "worker/models/common/gemma.h"

#include <cmath>

#include "common/status_macros.h"
#include "worker/models/common/llama_weights.h"

namespace vernier::models {
namespace {

constexpr double kMaxCap = 1e6;

absl::StatusOr<double> ReadCap(const ConfigReader& config, absl::string_view name, double fallback) {
  if (config.IsNull(name)) return 0.0;
  if (!config.Has(name)) return fallback;
  return config.Number(name, 1e-3, kMaxCap);
}

}  // namespace

SizeDefaults GemmaSizes(int64_t max_positions) {
  return {.num_kv_heads = 4, .head_dim = 256, .max_positions = max_positions, .tied_head = true};
}

absl::Status ReadGemmaTraits(const ConfigReader& config, const GemmaCaps& defaults, DecoderTraits& traits) {
  traits.norm = NormKind::kRmsPlusOne;
  traits.embedding_scale = std::sqrt(static_cast<double>(traits.model.hidden_size));
  VN_ASSIGN_OR_RETURN(traits.activation, ReadActivation(config, "hidden_activation", "gelu_pytorch_tanh"));
  VN_ASSIGN_OR_RETURN(const double divisor, config.Number("query_pre_attn_scalar", 1e-3, 1e6, 256.0));
  VN_ASSIGN_OR_RETURN(const double cap, ReadCap(config, "attn_logit_softcapping", defaults.attention_cap));
  VN_ASSIGN_OR_RETURN(traits.model.logit_cap, ReadCap(config, "final_logit_softcapping", defaults.logit_cap));
  for (LayerTraits& layer : traits.layers) {
    layer.attention.scale = 1.0 / std::sqrt(divisor);
    layer.attention.cap = cap;
  }
  VN_ASSIGN_OR_RETURN(const bool sees_later, config.Bool("use_bidirectional_attention", false));
  if (!sees_later) return absl::OkStatus();
  return config.Refuse("use_bidirectional_attention", "a token must not see those after it");
}

DecoderWeights DeclareGemmaWeights(const DecoderTraits& traits, bool attention_bias, bool head_norms) {
  LlamaShape shape = {.qkv_bias = attention_bias, .out_bias = attention_bias};
  shape.attention_norm = "input_layernorm";
  shape.attention_out_norm = "post_attention_layernorm";
  shape.mlp_norm = "pre_feedforward_layernorm";
  shape.mlp_out_norm = "post_feedforward_layernorm";
  if (head_norms) shape.head_norms = HeadNorms::kEachHead;
  return DeclareLlamaLike(traits, shape);
}

}  // namespace vernier::models
