#include "storage/gguf_gpt2.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace vernier::storage {
namespace {

absl::Status AddLayer(int64_t layer, int64_t width, int64_t hidden, GgufPlanner& planner) {
  struct Linear {
    absl::string_view source, target;
    int64_t out, in;
  };
  const Linear linears[] = {{"attn_qkv", "attn.c_attn", 3 * width, width},
                            {"attn_output", "attn.c_proj", width, width},
                            {"ffn_up", "mlp.c_fc", hidden, width},
                            {"ffn_down", "mlp.c_proj", width, hidden}};
  const std::string from = absl::StrCat("blk.", layer, ".");
  const std::string to = absl::StrCat("transformer.h.", layer, ".");
  for (const Linear& linear : linears) {
    VN_RETURN_IF_ERROR(planner.Add(absl::StrCat(from, linear.source, ".weight"),
                                   absl::StrCat(to, linear.target, ".weight"), {linear.out, linear.in},
                                   GgufLayout::kTransposed));
    VN_RETURN_IF_ERROR(planner.Add(absl::StrCat(from, linear.source, ".bias"),
                                   absl::StrCat(to, linear.target, ".bias"), {linear.out}));
  }
  for (const absl::string_view kind : {"weight", "bias"}) {
    VN_RETURN_IF_ERROR(
        planner.Add(absl::StrCat(from, "attn_norm.", kind), absl::StrCat(to, "ln_1.", kind), {width}));
    VN_RETURN_IF_ERROR(
        planner.Add(absl::StrCat(from, "ffn_norm.", kind), absl::StrCat(to, "ln_2.", kind), {width}));
  }
  return absl::OkStatus();
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

  VN_RETURN_IF_ERROR(planner.Add("token_embd.weight", "transformer.wte.weight", {plan.vocab_size, width}));
  VN_RETURN_IF_ERROR(
      planner.Add("position_embd.weight", "transformer.wpe.weight", {plan.context_length, width}));
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    VN_RETURN_IF_ERROR(AddLayer(layer, width, hidden, planner));
  }
  for (const absl::string_view kind : {"weight", "bias"}) {
    VN_RETURN_IF_ERROR(
        planner.Add(absl::StrCat("output_norm.", kind), absl::StrCat("transformer.ln_f.", kind), {width}));
  }
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

}  // namespace vernier::storage
