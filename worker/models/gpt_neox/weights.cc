#include "worker/models/gpt_neox/weights.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace vernier::models {
namespace {

// Causal masks and rotary tables that old files keep as buffers.
bool IsGptNeoxBuffer(absl::string_view name) {
  return absl::EndsWith(name, ".attention.bias") || absl::EndsWith(name, ".attention.masked_bias") ||
         absl::EndsWith(name, ".rotary_emb.inv_freq");
}

}  // namespace

DecoderWeights DeclareGptNeoxWeights(const GptNeoxConfig& config) {
  const ModelConfig& model = config.traits.model;
  const int64_t width = model.hidden_size;
  DecoderWeights weights;
  ParameterLayout& layout = weights.layout;
  weights.base_prefix = "gpt_neox.";
  weights.may_be_left_over = IsGptNeoxBuffer;
  const auto norm = [&](const std::string& name) {
    NormWeights norm;
    norm.weight = layout.AddVector(name + ".weight", width);
    norm.bias = layout.AddVector(name + ".bias", width);
    return norm;
  };
  weights.embedding = layout.AddMatrix("gpt_neox.embed_in.weight", model.vocab_size, width);
  for (int64_t i = 0; i < model.num_layers; ++i) {
    const std::string prefix = absl::StrCat("gpt_neox.layers.", i, ".");
    DecoderLayer layer;
    layer.attention_norm = norm(prefix + "input_layernorm");
    layer.mlp_norm = norm(prefix + "post_attention_layernorm");
    layer.qkv =
        layout.AddLinear(prefix + "attention.query_key_value", width, 3 * width, config.attention_bias);
    layer.attention_out = layout.AddLinear(prefix + "attention.dense", width, width, config.attention_bias);
    layer.up = layout.AddLinear(prefix + "mlp.dense_h_to_4h", width, model.intermediate_size, true);
    layer.down = layout.AddLinear(prefix + "mlp.dense_4h_to_h", model.intermediate_size, width, true);
    weights.layers.push_back(layer);
  }
  weights.final_norm = norm("gpt_neox.final_layer_norm");
  // Files call it embed_out, as transformers before 5 does; newer code may write lm_head.
  weights.head = layout.AddHead("embed_out.weight", weights.embedding, model.tied_head, "lm_head.weight");
  return weights;
}

}  // namespace vernier::models
