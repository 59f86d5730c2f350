#include "storage/gguf_llama.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::storage {
namespace {

struct Sizes {
  int64_t num_layers = 0;
  int64_t width = 0;
  int64_t hidden = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_size = 0;
  int64_t vocab_size = 0;
  int64_t context_length = 0;
};

absl::StatusOr<Sizes> ReadSizes(const GgufPlanner& planner) {
  Sizes s;
  VN_ASSIGN_OR_RETURN(s.num_layers, planner.Positive("block_count"));
  VN_ASSIGN_OR_RETURN(s.width, planner.Positive("embedding_length"));
  VN_ASSIGN_OR_RETURN(s.hidden, planner.Positive("feed_forward_length"));
  VN_ASSIGN_OR_RETURN(s.context_length, planner.Positive("context_length"));
  VN_ASSIGN_OR_RETURN(s.num_heads, planner.Positive("attention.head_count"));
  VN_ASSIGN_OR_RETURN(s.num_kv_heads, planner.PositiveOr("attention.head_count_kv", s.num_heads));
  if (s.num_heads % s.num_kv_heads != 0) {
    return planner.Bad(absl::StrCat("metadata \"", planner.Key("attention.head_count"), "\" = ", s.num_heads,
                                    " is not a multiple of head_count_kv = ", s.num_kv_heads));
  }
  if (s.width % s.num_heads != 0) {
    return planner.Bad(absl::StrCat("metadata \"", planner.Key("embedding_length"), "\" = ", s.width,
                                    " is not a multiple of attention.head_count = ", s.num_heads));
  }
  VN_ASSIGN_OR_RETURN(s.head_size, planner.PositiveOr("attention.key_length", s.width / s.num_heads));
  VN_ASSIGN_OR_RETURN(const int64_t value_size, planner.PositiveOr("attention.value_length", s.head_size));
  VN_ASSIGN_OR_RETURN(const int64_t rotated, planner.PositiveOr("rope.dimension_count", s.head_size));
  if (s.head_size < 2 || s.head_size % 2 != 0 || value_size != s.head_size || rotated != s.head_size) {
    return planner.Bad(
        absl::StrCat("heads have ", s.head_size, " key, ", value_size, " value and ", rotated,
                     " rotated dimensions; only models where these are equal and even are supported"));
  }
  VN_ASSIGN_OR_RETURN(s.vocab_size, planner.Rows("token_embd.weight"));
  VN_ASSIGN_OR_RETURN(const int64_t vocab_size, planner.PositiveOr("vocab_size", s.vocab_size));
  if (vocab_size != s.vocab_size) {
    return planner.Bad(absl::StrCat("metadata \"", planner.Key("vocab_size"), "\" = ", vocab_size,
                                    ", but the embedding has ", s.vocab_size, " rows"));
  }
  return s;
}

// Variants of llama that share its name but compute something else.
absl::Status RefuseVariants(const Gguf& gguf, const GgufPlanner& planner) {
  if (gguf.Has(planner.Key("expert_count"))) {
    VN_ASSIGN_OR_RETURN(const int64_t experts, gguf.GetInt(planner.Key("expert_count")));
    if (experts != 0) return planner.Bad("is a mixture of experts, which is not supported");
  }
  const std::string scaling = planner.Key("rope.scaling.type");
  if (gguf.Has(scaling)) {
    VN_ASSIGN_OR_RETURN(const absl::string_view type, gguf.GetString(scaling));
    if (type != "none") {
      return planner.Bad(
          absl::StrCat("scales rotary positions (", scaling, " = \"", Excerpt(type),
                       "\"), which is not supported for GGUF files; import the Hugging Face folder"));
    }
  }
  VN_ASSIGN_OR_RETURN(const double linear, planner.PositiveNumberOr("rope.scale_linear", 1.0));
  if (linear != 1.0 || planner.HasTensor("rope_freqs.weight")) {
    return planner.Bad(
        "scales rotary positions, which is not supported for GGUF files; import the Hugging Face folder");
  }
  return absl::OkStatus();
}

absl::Status AddLayer(int64_t layer, const Sizes& s, bool attention_bias, bool mlp_bias,
                      GgufPlanner& planner) {
  struct Linear {
    absl::string_view source, target;
    int64_t out, in;
    int64_t rotary_heads;  // 0: rows stay where they are
    bool bias;
  };
  const int64_t query = s.num_heads * s.head_size;
  const int64_t key = s.num_kv_heads * s.head_size;
  const Linear linears[] = {
      {"attn_q", "self_attn.q_proj", query, s.width, s.num_heads, attention_bias},
      {"attn_k", "self_attn.k_proj", key, s.width, s.num_kv_heads, attention_bias},
      {"attn_v", "self_attn.v_proj", key, s.width, 0, attention_bias},
      {"attn_output", "self_attn.o_proj", s.width, query, 0, attention_bias},
      {"ffn_gate", "mlp.gate_proj", s.hidden, s.width, 0, mlp_bias},
      {"ffn_up", "mlp.up_proj", s.hidden, s.width, 0, mlp_bias},
      {"ffn_down", "mlp.down_proj", s.width, s.hidden, 0, mlp_bias},
  };
  const std::string from = absl::StrCat("blk.", layer, ".");
  const std::string to = absl::StrCat("model.layers.", layer, ".");
  for (const Linear& linear : linears) {
    const GgufLayout layout = linear.rotary_heads > 0 ? GgufLayout::kSplitHalves : GgufLayout::kSame;
    VN_RETURN_IF_ERROR(planner.Add(absl::StrCat(from, linear.source, ".weight"),
                                   absl::StrCat(to, linear.target, ".weight"), {linear.out, linear.in},
                                   layout, linear.rotary_heads));
    if (!linear.bias) continue;
    VN_RETURN_IF_ERROR(planner.Add(absl::StrCat(from, linear.source, ".bias"),
                                   absl::StrCat(to, linear.target, ".bias"), {linear.out}, layout,
                                   linear.rotary_heads));
  }
  VN_RETURN_IF_ERROR(planner.Add(from + "attn_norm.weight", to + "input_layernorm.weight", {s.width}));
  return planner.Add(from + "ffn_norm.weight", to + "post_attention_layernorm.weight", {s.width});
}

}  // namespace

absl::StatusOr<GgufPlan> PlanGgufLlama(const Gguf& gguf) {
  GgufPlanner planner(gguf, "llama");
  VN_RETURN_IF_ERROR(RefuseVariants(gguf, planner));
  VN_ASSIGN_OR_RETURN(const Sizes s, ReadSizes(planner));
  VN_ASSIGN_OR_RETURN(const double epsilon, planner.PositiveNumber("attention.layer_norm_rms_epsilon"));
  VN_ASSIGN_OR_RETURN(const double theta, planner.PositiveNumberOr("rope.freq_base", 10000.0));
  // All layers are alike: the first one shows whether linear layers have biases.
  const bool attention_bias = planner.HasTensor("blk.0.attn_q.bias");
  const bool mlp_bias = planner.HasTensor("blk.0.ffn_up.bias");

  VN_RETURN_IF_ERROR(planner.Add("token_embd.weight", "model.embed_tokens.weight", {s.vocab_size, s.width}));
  for (int64_t layer = 0; layer < s.num_layers; ++layer) {
    VN_RETURN_IF_ERROR(AddLayer(layer, s, attention_bias, mlp_bias, planner));
  }
  VN_RETURN_IF_ERROR(planner.Add("output_norm.weight", "model.norm.weight", {s.width}));
  VN_ASSIGN_OR_RETURN(const bool has_head, planner.AddHead(s.vocab_size, s.width));

  GgufPlan plan;
  VN_ASSIGN_OR_RETURN(plan.tensors, planner.Finish());
  plan.context_length = s.context_length;
  plan.vocab_size = s.vocab_size;
  plan.config = {{"architectures", {"LlamaForCausalLM"}},
                 {"model_type", "llama"},
                 {"hidden_act", "silu"},
                 {"hidden_size", s.width},
                 {"intermediate_size", s.hidden},
                 {"num_hidden_layers", s.num_layers},
                 {"num_attention_heads", s.num_heads},
                 {"num_key_value_heads", s.num_kv_heads},
                 {"head_dim", s.head_size},
                 {"max_position_embeddings", s.context_length},
                 {"rms_norm_eps", epsilon},
                 {"rope_theta", theta},
                 {"attention_bias", attention_bias},
                 {"mlp_bias", mlp_bias},
                 {"vocab_size", s.vocab_size},
                 {"tie_word_embeddings", !has_head},
                 {"torch_dtype", "float32"}};
  return plan;
}

}  // namespace vernier::storage
