#include "worker/models/gpt2/weights.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace vernier::models {
namespace {

constexpr absl::string_view kHead = "lm_head.weight";

Gpt2Norm AddNorm(ParameterLayout& layout, absl::string_view name, int64_t width) {
  Gpt2Norm norm;
  norm.weight = layout.AddVector(absl::StrCat(name, ".weight"), width);
  norm.bias = layout.AddVector(absl::StrCat(name, ".bias"), width);
  return norm;
}

}  // namespace

Gpt2Weights DeclareGpt2Weights(const Gpt2Config& config) {
  const ModelConfig& model = config.model;
  const int64_t width = model.hidden_size;
  Gpt2Weights weights;
  ParameterLayout& layout = weights.layout;
  weights.embedding = layout.AddMatrix("transformer.wte.weight", model.vocab_size, width);
  weights.positions = layout.AddMatrix("transformer.wpe.weight", model.max_positions, width);
  // Conv1D: a linear layer that keeps its weight as [in, out].
  const auto add_conv = [&layout](std::string name, int64_t in_features, int64_t out_features) {
    return layout.AddLinear(std::move(name), in_features, out_features, /*has_bias=*/true,
                            /*weight_is_io=*/true);
  };
  for (int64_t i = 0; i < model.num_layers; ++i) {
    const std::string prefix = absl::StrCat("transformer.h.", i, ".");
    Gpt2Layer layer;
    layer.attention_norm = AddNorm(layout, absl::StrCat(prefix, "ln_1"), width);
    layer.qkv = add_conv(absl::StrCat(prefix, "attn.c_attn"), width, 3 * width);
    layer.attention_out = add_conv(absl::StrCat(prefix, "attn.c_proj"), width, width);
    layer.mlp_norm = AddNorm(layout, absl::StrCat(prefix, "ln_2"), width);
    layer.up = add_conv(absl::StrCat(prefix, "mlp.c_fc"), width, model.intermediate_size);
    layer.down = add_conv(absl::StrCat(prefix, "mlp.c_proj"), model.intermediate_size, width);
    weights.layers.push_back(layer);
  }
  weights.final_norm = AddNorm(layout, "transformer.ln_f", width);
  weights.head =
      model.tied_head ? weights.embedding : layout.AddMatrix(std::string(kHead), model.vocab_size, width);
  return weights;
}

bool Gpt2MayLeaveOver(absl::string_view name) {
  return name == kHead || absl::EndsWith(name, ".attn.bias") || absl::EndsWith(name, ".attn.masked_bias");
}

}  // namespace vernier::models
