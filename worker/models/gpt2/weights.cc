#include "worker/models/gpt2/weights.h"

#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace vernier::models {
namespace {

// The causal masks that old files keep as buffers.
bool IsGpt2Buffer(absl::string_view name) {
  return absl::EndsWith(name, ".attn.bias") || absl::EndsWith(name, ".attn.masked_bias");
}

}  // namespace

DecoderWeights DeclareGpt2Weights(const Gpt2Config& config) {
  const ModelConfig& model = config.traits.model;
  const int64_t width = model.hidden_size;
  DecoderWeights weights;
  ParameterLayout& layout = weights.layout;
  weights.base_prefix = "transformer.";
  weights.may_be_left_over = IsGpt2Buffer;
  const auto norm = [&](const std::string& name) {
    NormWeights norm;
    norm.weight = layout.AddVector(name + ".weight", width);
    norm.bias = layout.AddVector(name + ".bias", width);
    return norm;
  };
  // Conv1D: a linear layer that keeps its weight as [in, out].
  const auto conv = [&](std::string name, int64_t in_features, int64_t out_features) {
    return layout.AddLinear(std::move(name), in_features, out_features, /*has_bias=*/true,
                            /*weight_is_io=*/true);
  };
  weights.embedding = layout.AddMatrix("transformer.wte.weight", model.vocab_size, width);
  weights.positions = layout.AddMatrix("transformer.wpe.weight", model.max_positions, width);
  for (int64_t i = 0; i < model.num_layers; ++i) {
    const std::string prefix = absl::StrCat("transformer.h.", i, ".");
    DecoderLayer layer;
    layer.attention_norm = norm(prefix + "ln_1");
    layer.qkv = conv(prefix + "attn.c_attn", width, 3 * width);
    layer.attention_out = conv(prefix + "attn.c_proj", width, width);
    layer.mlp_norm = norm(prefix + "ln_2");
    layer.up = conv(prefix + "mlp.c_fc", width, model.intermediate_size);
    layer.down = conv(prefix + "mlp.c_proj", model.intermediate_size, width);
    weights.layers.push_back(layer);
  }
  weights.final_norm = norm("transformer.ln_f");
  weights.head = layout.AddHead("lm_head.weight", weights.embedding, model.tied_head);
  return weights;
}

}  // namespace vernier::models
