#include "storage/gguf_qwen.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "storage/gguf_llama_like.h"

namespace vernier::storage {
namespace {

constexpr LlamaLike kQwen2 = {.model_type = "qwen2", .causal_class = "Qwen2ForCausalLM"};
constexpr LlamaLike kQwen3 = {.model_type = "qwen3", .causal_class = "Qwen3ForCausalLM", .head_norms = true};

absl::StatusOr<GgufDescription> Describe(const GgufModelFacts& facts, const LlamaLike& family) {
  GgufDescriber describer(facts, family.model_type);
  VN_RETURN_IF_ERROR(describer.Only("hidden_act", {"silu", "swish"}));
  if (facts.window > 0) {
    return describer.Bad("use_sliding_window is true, and GGUF keeps no windows for qwen models");
  }
  return DescribeLlamaLike(facts, family, describer);
}

}  // namespace

absl::StatusOr<GgufPlan> PlanGgufQwen2(const Gguf& gguf) {
  GgufPlanner planner(gguf, "qwen2");
  VN_ASSIGN_OR_RETURN(LlamaLikePlan made, PlanLlamaLike(gguf, planner, kQwen2));
  if (!made.biases.attention)
    return planner.Bad("has no tensor \"blk.0.attn_q.bias\", which qwen2 models have");
  made.plan.config["hidden_act"] = "silu";
  return std::move(made.plan);
}

absl::StatusOr<GgufPlan> PlanGgufQwen3(const Gguf& gguf) {
  GgufPlanner planner(gguf, "qwen3");
  VN_ASSIGN_OR_RETURN(LlamaLikePlan made, PlanLlamaLike(gguf, planner, kQwen3));
  made.plan.config["hidden_act"] = "silu";
  made.plan.config["attention_bias"] = made.biases.attention;
  return std::move(made.plan);
}

absl::StatusOr<GgufDescription> DescribeGgufQwen2(const GgufModelFacts& facts) {
  return Describe(facts, kQwen2);
}

absl::StatusOr<GgufDescription> DescribeGgufQwen3(const GgufModelFacts& facts) {
  // llama.cpp makes no such tensors for qwen3, and refuses a file with more tensors than it made.
  for (const absl::string_view linear : {"q_proj", "o_proj"}) {
    if (!facts.has_parameter(absl::StrCat("model.layers.0.self_attn.", linear, ".bias"))) continue;
    return GgufDescriber(facts, kQwen3.model_type)
        .Bad("attention_bias = true cannot be said in GGUF for qwen3 models");
  }
  return Describe(facts, kQwen3);
}

}  // namespace vernier::storage
