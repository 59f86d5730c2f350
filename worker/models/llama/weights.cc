#include "worker/models/llama/weights.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace vernier::models {
namespace {

constexpr absl::string_view kHead = "lm_head.weight";

}  // namespace

LlamaWeights DeclareLlamaWeights(const LlamaConfig& config) {
  const ModelConfig& model = config.model;
  const int64_t width = model.hidden_size;
  const int64_t q_width = model.num_heads * model.head_dim;
  const int64_t kv_width = model.num_kv_heads * model.head_dim;
  LlamaWeights weights;
  ParameterLayout& layout = weights.layout;
  weights.embedding = layout.AddMatrix("model.embed_tokens.weight", model.vocab_size, width);
  for (int64_t i = 0; i < model.num_layers; ++i) {
    const std::string prefix = absl::StrCat("model.layers.", i, ".");
    const std::string attention = absl::StrCat(prefix, "self_attn.");
    const std::string mlp = absl::StrCat(prefix, "mlp.");
    LlamaLayer layer;
    layer.q = layout.AddLinear(absl::StrCat(attention, "q_proj"), width, q_width, config.attention_bias);
    layer.k = layout.AddLinear(absl::StrCat(attention, "k_proj"), width, kv_width, config.attention_bias);
    layer.v = layout.AddLinear(absl::StrCat(attention, "v_proj"), width, kv_width, config.attention_bias);
    layer.o = layout.AddLinear(absl::StrCat(attention, "o_proj"), q_width, width, config.attention_bias);
    layer.gate =
        layout.AddLinear(absl::StrCat(mlp, "gate_proj"), width, model.intermediate_size, config.mlp_bias);
    layer.up =
        layout.AddLinear(absl::StrCat(mlp, "up_proj"), width, model.intermediate_size, config.mlp_bias);
    layer.down =
        layout.AddLinear(absl::StrCat(mlp, "down_proj"), model.intermediate_size, width, config.mlp_bias);
    layer.input_norm = layout.AddVector(absl::StrCat(prefix, "input_layernorm.weight"), width);
    layer.post_attention_norm =
        layout.AddVector(absl::StrCat(prefix, "post_attention_layernorm.weight"), width);
    weights.layers.push_back(layer);
  }
  weights.final_norm = layout.AddVector("model.norm.weight", width);
  weights.head =
      model.tied_head ? weights.embedding : layout.AddMatrix(std::string(kHead), model.vocab_size, width);
  return weights;
}

bool LlamaMayLeaveOver(absl::string_view name) {
  return name == kHead || absl::EndsWith(name, ".rotary_emb.inv_freq");
}

}  // namespace vernier::models
