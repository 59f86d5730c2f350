#include "storage/gguf_qwen.h"

#include <utility>

#include "common/status_macros.h"
#include "storage/gguf_llama_like.h"

namespace vernier::storage {

absl::StatusOr<GgufPlan> PlanGgufQwen2(const Gguf& gguf) {
  GgufPlanner planner(gguf, "qwen2");
  VN_ASSIGN_OR_RETURN(
      LlamaLikePlan made,
      PlanLlamaLike(gguf, planner, {.model_type = "qwen2", .causal_class = "Qwen2ForCausalLM"}));
  if (!made.attention_bias)
    return planner.Bad("has no tensor \"blk.0.attn_q.bias\", which qwen2 models have");
  made.plan.config["hidden_act"] = "silu";
  return std::move(made.plan);
}

absl::StatusOr<GgufPlan> PlanGgufQwen3(const Gguf& gguf) {
  GgufPlanner planner(gguf, "qwen3");
  VN_ASSIGN_OR_RETURN(
      LlamaLikePlan made,
      PlanLlamaLike(gguf, planner,
                    {.model_type = "qwen3", .causal_class = "Qwen3ForCausalLM", .head_norms = true}));
  made.plan.config["hidden_act"] = "silu";
  made.plan.config["attention_bias"] = made.attention_bias;
  return std::move(made.plan);
}

}  // namespace vernier::storage
