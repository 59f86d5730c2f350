#include "storage/gguf_llama.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "storage/gguf_llama_like.h"

namespace vernier::storage {
namespace {

constexpr LlamaLike kLlama = {.model_type = "llama", .causal_class = "LlamaForCausalLM", .interleaved = true};

}  // namespace

absl::StatusOr<GgufPlan> PlanGgufLlama(const Gguf& gguf) {
  GgufPlanner planner(gguf, "llama");
  if (planner.Has("attention.sliding_window")) {
    return planner.Bad("has a sliding window, which llama models do not; import the Hugging Face folder");
  }
  VN_ASSIGN_OR_RETURN(LlamaLikePlan made, PlanLlamaLike(gguf, planner, kLlama));
  if (made.biases.attention && !planner.HasTensor("blk.0.attn_output.bias")) {
    return planner.Bad("has no tensor \"blk.0.attn_output.bias\" beside those of q, k and v");
  }
  made.plan.config["hidden_act"] = "silu";
  made.plan.config["attention_bias"] = made.biases.attention;
  made.plan.config["mlp_bias"] = made.biases.mlp;
  return std::move(made.plan);
}

absl::StatusOr<GgufDescription> DescribeGgufLlama(const GgufModelFacts& facts) {
  GgufDescriber describer(facts, "llama");
  VN_RETURN_IF_ERROR(describer.Only("hidden_act", {"silu", "swish"}));
  return DescribeLlamaLike(facts, kLlama, describer);
}

absl::StatusOr<GgufDescription> DescribeGgufMistral(const GgufModelFacts& facts) {
  GgufDescriber describer(facts, "llama");
  VN_RETURN_IF_ERROR(describer.Only("hidden_act", {"silu", "swish"}));
  const int64_t window = facts.window;
  if (window > 0 && window < facts.sizes.context_length) {
    return describer.Bad(absl::StrCat("sliding_window = ", window, " is below the context of ",
                                      facts.sizes.context_length,
                                      " tokens, and GGUF keeps no window for mistral models"));
  }
  return DescribeLlamaLike(facts, kLlama, describer);
}

}  // namespace vernier::storage
