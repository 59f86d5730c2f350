#include "storage/gguf_llama.h"

#include <utility>

#include "common/status_macros.h"
#include "storage/gguf_llama_like.h"

namespace vernier::storage {

absl::StatusOr<GgufPlan> PlanGgufLlama(const Gguf& gguf) {
  GgufPlanner planner(gguf, "llama");
  if (planner.Has("attention.sliding_window")) {
    return planner.Bad("has a sliding window, which llama models do not; import the Hugging Face folder");
  }
  VN_ASSIGN_OR_RETURN(
      LlamaLikePlan made,
      PlanLlamaLike(gguf, planner,
                    {.model_type = "llama", .causal_class = "LlamaForCausalLM", .interleaved = true}));
  if (made.attention_bias && !planner.HasTensor("blk.0.attn_output.bias")) {
    return planner.Bad("has no tensor \"blk.0.attn_output.bias\" beside those of q, k and v");
  }
  made.plan.config["hidden_act"] = "silu";
  made.plan.config["attention_bias"] = made.attention_bias;
  made.plan.config["mlp_bias"] = made.mlp_bias;
  return std::move(made.plan);
}

}  // namespace vernier::storage
