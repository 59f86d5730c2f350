#include "storage/gguf_gpt2.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace vernier::storage {
namespace {

struct Sizes {
  int64_t num_layers, width, hidden, vocab_size, context_length;
};

void AddLayer(int64_t layer, const Sizes& s, std::vector<GgufRule>& rules) {
  struct Linear {
    absl::string_view gguf, hf;
    int64_t out, in;
  };
  const Linear linears[] = {{"attn_qkv", "attn.c_attn", 3 * s.width, s.width},
                            {"attn_output", "attn.c_proj", s.width, s.width},
                            {"ffn_up", "mlp.c_fc", s.hidden, s.width},
                            {"ffn_down", "mlp.c_proj", s.width, s.hidden}};
  const std::string from = absl::StrCat("blk.", layer, ".");
  const std::string to = absl::StrCat("transformer.h.", layer, ".");
  for (const Linear& linear : linears) {
    rules.push_back({absl::StrCat(from, linear.gguf, ".weight"),
                     absl::StrCat(to, linear.hf, ".weight"),
                     {linear.out, linear.in},
                     GgufLayout::kTransposed});
    rules.push_back(
        {absl::StrCat(from, linear.gguf, ".bias"), absl::StrCat(to, linear.hf, ".bias"), {linear.out}});
  }
  for (const absl::string_view kind : {"weight", "bias"}) {
    rules.push_back({absl::StrCat(from, "attn_norm.", kind), absl::StrCat(to, "ln_1.", kind), {s.width}});
    rules.push_back({absl::StrCat(from, "ffn_norm.", kind), absl::StrCat(to, "ln_2.", kind), {s.width}});
  }
}

// All tensors but for the head.
std::vector<GgufRule> Rules(const Sizes& s) {
  std::vector<GgufRule> rules = {
      {"token_embd.weight", "transformer.wte.weight", {s.vocab_size, s.width}},
      {"position_embd.weight", "transformer.wpe.weight", {s.context_length, s.width}}};
  for (int64_t layer = 0; layer < s.num_layers; ++layer) AddLayer(layer, s, rules);
  for (const absl::string_view kind : {"weight", "bias"}) {
    rules.push_back({absl::StrCat("output_norm.", kind), absl::StrCat("transformer.ln_f.", kind), {s.width}});
  }
  return rules;
}

}  // namespace

absl::StatusOr<GgufPlan> PlanGgufGpt2(const Gguf& gguf) {
  GgufPlanner planner(gguf, "gpt2");
  GgufPlan plan;
  VN_ASSIGN_OR_RETURN(const int64_t num_layers, planner.Positive("block_count"));
  VN_ASSIGN_OR_RETURN(const int64_t width, planner.Positive("embedding_length"));
  VN_ASSIGN_OR_RETURN(const int64_t hidden, planner.Positive("feed_forward_length"));
  VN_ASSIGN_OR_RETURN(const int64_t num_heads, planner.Positive("attention.head_count"));
  VN_ASSIGN_OR_RETURN(plan.context_length, planner.Positive("context_length"));
  VN_ASSIGN_OR_RETURN(const double epsilon, planner.PositiveNumber("attention.layer_norm_epsilon"));
  if (width % num_heads != 0) {
    return planner.Bad(absl::StrCat("metadata \"", planner.Key("embedding_length"), "\" = ", width,
                                    " is not a multiple of attention.head_count = ", num_heads));
  }
  VN_ASSIGN_OR_RETURN(plan.vocab_size, planner.Rows("token_embd.weight"));

  VN_RETURN_IF_ERROR(planner.Add(
      Rules({planner.LayersToPlan(num_layers), width, hidden, plan.vocab_size, plan.context_length})));
  VN_ASSIGN_OR_RETURN(const bool has_head, planner.AddHead(plan.vocab_size, width));
  VN_ASSIGN_OR_RETURN(plan.tensors, planner.Finish());

  plan.config = {{"architectures", {"GPT2LMHeadModel"}},
                 {"model_type", "gpt2"},
                 {"activation_function", "gelu_new"},
                 {"n_embd", width},
                 {"n_inner", hidden},
                 {"n_layer", num_layers},
                 {"n_head", num_heads},
                 {"n_positions", plan.context_length},
                 {"n_ctx", plan.context_length},
                 {"layer_norm_epsilon", epsilon},
                 {"vocab_size", plan.vocab_size},
                 {"tie_word_embeddings", !has_head},
                 {"torch_dtype", "float32"}};
  return plan;
}

absl::StatusOr<GgufDescription> DescribeGgufGpt2(const GgufModelFacts& facts) {
  GgufDescriber describer(facts, "gpt2");
  VN_RETURN_IF_ERROR(describer.Only("activation_function", {"gelu_new", "gelu_pytorch_tanh", "gelu_fast"}));
  VN_RETURN_IF_ERROR(describer.OnlyFlag("scale_attn_weights", true, true));
  VN_RETURN_IF_ERROR(describer.OnlyFlag("scale_attn_by_inverse_layer_idx", false, false));
  const LlamaLikeSizes& s = facts.sizes;
  describer.AddSizes();
  describer.Add("attention.layer_norm_epsilon", static_cast<float>(facts.norm_epsilon));
  return describer.Finish(Rules({s.num_layers, s.width, s.hidden, s.vocab_size, s.context_length}));
}

}  // namespace vernier::storage
