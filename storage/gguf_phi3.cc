#include "storage/gguf_phi3.h"

#include <utility>

#include "common/status_macros.h"
#include "storage/gguf_llama_like.h"

namespace vernier::storage {
namespace {

constexpr LlamaLike kPhi3 = {
    .model_type = "phi3", .causal_class = "Phi3ForCausalLM", .fused = true, .may_rotate_part = true};

}  // namespace

absl::StatusOr<GgufPlan> PlanGgufPhi3(const Gguf& gguf) {
  GgufPlanner planner(gguf, "phi3");
  VN_ASSIGN_OR_RETURN(LlamaLikePlan made, PlanLlamaLike(gguf, planner, kPhi3));
  nlohmann::json& config = made.plan.config;
  config["hidden_act"] = "silu";
  config["partial_rotary_factor"] =
      static_cast<double>(made.sizes.rotated) / static_cast<double>(made.sizes.head_size);
  // Older converters write 0 or nothing where there is no window.
  config["sliding_window"] = nullptr;
  if (planner.Has("attention.sliding_window")) {
    VN_ASSIGN_OR_RETURN(const int64_t window, gguf.GetInt(planner.Key("attention.sliding_window")));
    if (window != 0) {
      VN_ASSIGN_OR_RETURN(config["sliding_window"], planner.Positive("attention.sliding_window"));
    }
  }
  return std::move(made.plan);
}

absl::StatusOr<GgufDescription> DescribeGgufPhi3(const GgufModelFacts& facts) {
  GgufDescriber describer(facts, "phi3");
  VN_RETURN_IF_ERROR(describer.Only("hidden_act", {"silu", "swish"}));
  // Zero stands for none; readers look for the key.
  describer.Add("attention.sliding_window", static_cast<uint32_t>(facts.window));
  return DescribeLlamaLike(facts, kPhi3, describer);
}

}  // namespace vernier::storage
