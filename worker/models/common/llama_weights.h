// The names of llama's tensors, which most families share.
#pragma once

#include "absl/strings/string_view.h"
#include "worker/models/common/decoder.h"

namespace vernier::models {

// Norms of q and k before they turn.
enum class HeadNorms { kNone, kEachHead, kAllHeads };

// What differs. A norm whose name is empty is not there.
struct LlamaShape {
  bool fused = false;  // qkv_proj and gate_up_proj in the place of q, k, v and gate, up
  bool qkv_bias = false;
  bool out_bias = false;
  bool mlp_bias = false;
  HeadNorms head_norms = HeadNorms::kNone;
  absl::string_view attention_norm = "input_layernorm";
  absl::string_view attention_out_norm = "";
  absl::string_view mlp_norm = "post_attention_layernorm";
  absl::string_view mlp_out_norm = "";
};

// model.embed_tokens, model.layers.N.self_attn.{q,k,v,o}_proj, model.layers.N.mlp.{gate,up,down}_proj and the
// norms, model.norm, lm_head.
DecoderWeights DeclareLlamaLike(const DecoderTraits& traits, const LlamaShape& shape);

}  // namespace vernier::models
