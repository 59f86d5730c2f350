#include "worker/models/common/llama_weights.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace vernier::models {
namespace {

// Rotary buffers of old files, which follow from the config.
bool IsBuffer(absl::string_view name) { return absl::EndsWith(name, ".rotary_emb.inv_freq"); }

DecoderLayer DeclareLayer(const ModelConfig& model, const LlamaShape& shape, int64_t index,
                          ParameterLayout& layout) {
  const int64_t width = model.hidden_size;
  const int64_t inner = model.intermediate_size;
  const int64_t q_width = model.num_heads * model.head_dim;
  const int64_t kv_width = model.num_kv_heads * model.head_dim;
  const std::string prefix = absl::StrCat("model.layers.", index, ".");
  const auto linear = [&](absl::string_view name, int64_t in, int64_t out, bool bias) {
    return layout.AddLinear(absl::StrCat(prefix, name), in, out, bias);
  };
  const auto norm = [&](absl::string_view name, int64_t size) {
    return NormWeights{name.empty() ? -1 : layout.AddVector(absl::StrCat(prefix, name, ".weight"), size)};
  };
  DecoderLayer layer;
  if (shape.fused) {
    layer.qkv = linear("self_attn.qkv_proj", width, q_width + 2 * kv_width, shape.qkv_bias);
  } else {
    layer.q = linear("self_attn.q_proj", width, q_width, shape.qkv_bias);
    layer.k = linear("self_attn.k_proj", width, kv_width, shape.qkv_bias);
    layer.v = linear("self_attn.v_proj", width, kv_width, shape.qkv_bias);
  }
  layer.attention_out = linear("self_attn.o_proj", q_width, width, shape.out_bias);
  if (shape.head_norms != HeadNorms::kNone) {
    const bool each = shape.head_norms == HeadNorms::kEachHead;
    layer.q_norm = norm("self_attn.q_norm", each ? model.head_dim : q_width);
    layer.k_norm = norm("self_attn.k_norm", each ? model.head_dim : kv_width);
  }
  if (shape.fused) {
    layer.gate_up = linear("mlp.gate_up_proj", width, 2 * inner, shape.mlp_bias);
  } else {
    layer.gate = linear("mlp.gate_proj", width, inner, shape.mlp_bias);
    layer.up = linear("mlp.up_proj", width, inner, shape.mlp_bias);
  }
  layer.down = linear("mlp.down_proj", inner, width, shape.mlp_bias);
  layer.attention_norm = norm(shape.attention_norm, width);
  layer.attention_out_norm = norm(shape.attention_out_norm, width);
  layer.mlp_norm = norm(shape.mlp_norm, width);
  layer.mlp_out_norm = norm(shape.mlp_out_norm, width);
  return layer;
}

}  // namespace

DecoderWeights DeclareLlamaLike(const DecoderTraits& traits, const LlamaShape& shape) {
  const ModelConfig& model = traits.model;
  DecoderWeights weights;
  ParameterLayout& layout = weights.layout;
  weights.base_prefix = "model.";
  weights.may_be_left_over = IsBuffer;
  weights.embedding = layout.AddMatrix("model.embed_tokens.weight", model.vocab_size, model.hidden_size);
  for (int64_t i = 0; i < model.num_layers; ++i) {
    weights.layers.push_back(DeclareLayer(model, shape, i, layout));
  }
  weights.final_norm.weight = layout.AddVector("model.norm.weight", model.hidden_size);
  weights.head = layout.AddHead("lm_head.weight", weights.embedding, model.tied_head);
  return weights;
}

}  // namespace vernier::models
