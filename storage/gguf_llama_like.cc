#include "storage/gguf_llama_like.h"

#include <cmath>
#include <numbers>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/gguf_dequant.h"
#include "storage/gguf_rope.h"
#include "storage/model_context.h"

namespace vernier::storage {
namespace {

using Json = nlohmann::json;

absl::StatusOr<LlamaLikeSizes> ReadSizes(const GgufPlanner& planner, const LlamaLike& family) {
  LlamaLikeSizes s;
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
  if (s.width % s.num_heads != 0 && !planner.Has("attention.key_length")) {
    return planner.Bad(absl::StrCat("metadata \"", planner.Key("embedding_length"), "\" = ", s.width,
                                    " is not a multiple of attention.head_count = ", s.num_heads));
  }
  VN_ASSIGN_OR_RETURN(s.head_size, planner.PositiveOr("attention.key_length", s.width / s.num_heads));
  VN_ASSIGN_OR_RETURN(const int64_t value_size, planner.PositiveOr("attention.value_length", s.head_size));
  VN_ASSIGN_OR_RETURN(s.rotated, planner.PositiveOr("rope.dimension_count", s.head_size));
  const bool may_rotate = s.rotated == s.head_size || (family.may_rotate_part && s.rotated < s.head_size);
  if (s.rotated % 2 != 0 || value_size != s.head_size || !may_rotate) {
    return planner.Bad(
        absl::StrCat("heads have ", s.head_size, " key, ", value_size, " value and ", s.rotated,
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

absl::Status RefuseExperts(const Gguf& gguf, const GgufPlanner& planner) {
  if (!planner.Has("expert_count")) return absl::OkStatus();
  VN_ASSIGN_OR_RETURN(const int64_t experts, gguf.GetInt(planner.Key("expert_count")));
  if (experts == 0) return absl::OkStatus();
  return planner.Bad("is a mixture of experts, which is not supported");
}

absl::Status UnknownScaling(const GgufPlanner& planner, absl::string_view what) {
  return planner.Bad(
      absl::StrCat("scales rotary positions (", what,
                   "), which is not supported for GGUF files; import the Hugging Face folder"));
}

// Llama 3's scaling, which GGUF keeps as a divisor of each frequency without saying where it comes from: one
// of the published settings, found by its numbers. Null: none of them.
absl::StatusOr<Json> Llama3Scaling(const Gguf& gguf, GgufPlanner& planner, const LlamaLikeSizes& s,
                                   double theta) {
  std::vector<float> divisors(s.rotated / 2);
  VN_RETURN_IF_ERROR(planner.Read(kRopeFactors, {s.rotated / 2}, absl::MakeSpan(divisors)));
  for (const double factor : kLlama3Factors) {
    bool matches = true;
    for (size_t i = 0; i < divisors.size(); ++i) {
      const double want = Llama3Divisor(factor, theta, static_cast<int64_t>(i), s.rotated);
      matches = matches && std::abs(divisors[i] - want) <= 1e-3 * want;
    }
    if (!matches) continue;
    return Json{{"rope_type", "llama3"},
                {"factor", factor},
                {"low_freq_factor", kLlama3Low},
                {"high_freq_factor", kLlama3High},
                {"original_max_position_embeddings", static_cast<int64_t>(kLlama3Context)}};
  }
  return Json();
}

// config.json's rope_scaling; null: none.
absl::StatusOr<Json> ReadScaling(const Gguf& gguf, GgufPlanner& planner, const LlamaLikeSizes& s,
                                 double theta) {
  VN_ASSIGN_OR_RETURN(const double linear, planner.PositiveNumberOr("rope.scale_linear", 1.0));
  if (linear != 1.0) return UnknownScaling(planner, "rope.scale_linear");
  for (const absl::string_view tensor : {"rope_factors_long.weight", "rope_factors_short.weight"}) {
    if (planner.HasTensor(tensor)) return UnknownScaling(planner, tensor);
  }
  std::string type = "none";
  if (planner.Has("rope.scaling.type")) {
    VN_ASSIGN_OR_RETURN(const absl::string_view named, gguf.GetString(planner.Key("rope.scaling.type")));
    type = std::string(named);
  }
  if (planner.HasTensor(kRopeFactors)) {
    if (type != "none") return UnknownScaling(planner, kRopeFactors);
    VN_ASSIGN_OR_RETURN(Json scaling, Llama3Scaling(gguf, planner, s, theta));
    if (scaling.is_null()) return UnknownScaling(planner, kRopeFactors);
    return scaling;
  }
  if (type == "none") return Json();
  if (type != "linear" && type != "yarn")
    return UnknownScaling(planner, absl::StrCat("\"", Excerpt(type), "\""));
  for (const absl::string_view field : {"attn_factor", "yarn_attn_factor", "yarn_beta_fast", "yarn_beta_slow",
                                        "yarn_ext_factor", "yarn_log_multiplier"}) {
    if (planner.Has(absl::StrCat("rope.scaling.", field)))
      return UnknownScaling(planner, absl::StrCat("rope.scaling.", field));
  }
  VN_ASSIGN_OR_RETURN(const double factor, planner.PositiveNumber("rope.scaling.factor"));
  Json scaling = {{"rope_type", type}, {"factor", factor}};
  if (type == "yarn") {
    VN_ASSIGN_OR_RETURN(scaling["original_max_position_embeddings"],
                        planner.Positive("rope.scaling.original_context_length"));
  }
  return scaling;
}

struct Linear {
  absl::string_view gguf, hf;
  int64_t out, in;
  int64_t rotary_heads;  // 0: rows stay where they are
  bool bias;
};

void AddLayer(int64_t layer, const LlamaLike& family, const LlamaLikeSizes& s, const LlamaLikeBiases& biases,
              std::vector<GgufRule>& rules) {
  const int64_t query = s.num_heads * s.head_size;
  const int64_t key = s.num_kv_heads * s.head_size;
  const int64_t q_heads = family.interleaved ? s.num_heads : 0;
  const int64_t k_heads = family.interleaved ? s.num_kv_heads : 0;
  std::vector<Linear> linears;
  if (family.fused) {
    linears = {{"attn_qkv", "self_attn.qkv_proj", query + 2 * key, s.width, 0, false},
               {"attn_output", "self_attn.o_proj", s.width, query, 0, false},
               {"ffn_up", "mlp.gate_up_proj", 2 * s.hidden, s.width, 0, false},
               {"ffn_down", "mlp.down_proj", s.width, s.hidden, 0, false}};
  } else {
    linears = {{"attn_q", "self_attn.q_proj", query, s.width, q_heads, biases.attention},
               {"attn_k", "self_attn.k_proj", key, s.width, k_heads, biases.attention},
               {"attn_v", "self_attn.v_proj", key, s.width, 0, biases.attention},
               {"attn_output", "self_attn.o_proj", s.width, query, 0, biases.out},
               {"ffn_gate", "mlp.gate_proj", s.hidden, s.width, 0, biases.mlp},
               {"ffn_up", "mlp.up_proj", s.hidden, s.width, 0, biases.mlp},
               {"ffn_down", "mlp.down_proj", s.width, s.hidden, 0, biases.mlp}};
  }
  const std::string from = absl::StrCat("blk.", layer, ".");
  const std::string to = absl::StrCat("model.layers.", layer, ".");
  for (const Linear& linear : linears) {
    const GgufLayout layout = linear.rotary_heads > 0 ? GgufLayout::kSplitHalves : GgufLayout::kSame;
    rules.push_back({absl::StrCat(from, linear.gguf, ".weight"),
                     absl::StrCat(to, linear.hf, ".weight"),
                     {linear.out, linear.in},
                     layout,
                     linear.rotary_heads});
    if (!linear.bias) continue;
    rules.push_back({absl::StrCat(from, linear.gguf, ".bias"),
                     absl::StrCat(to, linear.hf, ".bias"),
                     {linear.out},
                     layout,
                     linear.rotary_heads});
  }
  struct Norm {
    absl::string_view gguf, hf;
    int64_t size;
  };
  std::vector<Norm> norms;
  if (family.head_norms) {
    norms = {{"attn_q_norm", "self_attn.q_norm", s.head_size},
             {"attn_k_norm", "self_attn.k_norm", s.head_size}};
  }
  norms.push_back({"attn_norm", "input_layernorm", s.width});
  if (family.gemma_norms) {
    norms.push_back({"post_attention_norm", "post_attention_layernorm", s.width});
    norms.push_back({"ffn_norm", "pre_feedforward_layernorm", s.width});
    norms.push_back({"post_ffw_norm", "post_feedforward_layernorm", s.width});
  } else {
    norms.push_back({"ffn_norm", "post_attention_layernorm", s.width});
  }
  const GgufLayout layout = family.gemma_norms ? GgufLayout::kMinusOne : GgufLayout::kSame;
  for (const Norm& norm : norms) {
    rules.push_back({absl::StrCat(from, norm.gguf, ".weight"),
                     absl::StrCat(to, norm.hf, ".weight"),
                     {norm.size},
                     layout});
  }
}

}  // namespace

std::vector<GgufRule> LlamaLikeRules(const LlamaLike& family, const LlamaLikeSizes& sizes,
                                     const LlamaLikeBiases& biases) {
  std::vector<GgufRule> rules = {
      {"token_embd.weight", "model.embed_tokens.weight", {sizes.vocab_size, sizes.width}}};
  for (int64_t layer = 0; layer < sizes.num_layers; ++layer) AddLayer(layer, family, sizes, biases, rules);
  rules.push_back({"output_norm.weight",
                   "model.norm.weight",
                   {sizes.width},
                   family.gemma_norms ? GgufLayout::kMinusOne : GgufLayout::kSame});
  return rules;
}

absl::StatusOr<LlamaLikePlan> PlanLlamaLike(const Gguf& gguf, GgufPlanner& planner, const LlamaLike& family) {
  VN_RETURN_IF_ERROR(RefuseExperts(gguf, planner));
  LlamaLikePlan made;
  VN_ASSIGN_OR_RETURN(made.sizes, ReadSizes(planner, family));
  const LlamaLikeSizes& s = made.sizes;
  VN_ASSIGN_OR_RETURN(const double epsilon, planner.PositiveNumber("attention.layer_norm_rms_epsilon"));
  VN_ASSIGN_OR_RETURN(const double theta, planner.PositiveNumberOr("rope.freq_base", 10000.0));
  VN_ASSIGN_OR_RETURN(const Json scaling, ReadScaling(gguf, planner, s, theta));
  // All layers are alike: the first one shows whether linear layers have biases.
  made.biases.attention = planner.HasTensor("blk.0.attn_q.bias");
  // qwen2 has biases on q, k and v alone.
  made.biases.out = made.biases.attention && planner.HasTensor("blk.0.attn_output.bias");
  made.biases.mlp = planner.HasTensor("blk.0.ffn_up.bias");

  LlamaLikeSizes bounded = s;
  bounded.num_layers = planner.LayersToPlan(s.num_layers);
  VN_RETURN_IF_ERROR(planner.Add(LlamaLikeRules(family, bounded, made.biases)));
  VN_ASSIGN_OR_RETURN(const bool has_head, planner.AddHead(s.vocab_size, s.width));
  GgufPlan& plan = made.plan;
  VN_ASSIGN_OR_RETURN(plan.tensors, planner.Finish());
  plan.vocab_size = s.vocab_size;
  plan.context_length = s.context_length;
  plan.config = {{"architectures", {family.causal_class}},
                 {"model_type", family.model_type},
                 {"hidden_size", s.width},
                 {"intermediate_size", s.hidden},
                 {"num_hidden_layers", s.num_layers},
                 {"num_attention_heads", s.num_heads},
                 {"num_key_value_heads", s.num_kv_heads},
                 {"head_dim", s.head_size},
                 {"max_position_embeddings", s.context_length},
                 {"rms_norm_eps", epsilon},
                 {"rope_theta", theta},
                 {"vocab_size", s.vocab_size},
                 {"tie_word_embeddings", !has_head},
                 {"torch_dtype", "float32"}};
  if (!scaling.is_null()) {
    plan.config["rope_scaling"] = scaling;
    plan.context_length =
        ScaledContext(scaling["rope_type"].get<std::string>(), scaling["factor"].get<double>(),
                      scaling.value("original_max_position_embeddings", s.context_length), s.context_length);
  }
  return made;
}

}  // namespace vernier::storage
