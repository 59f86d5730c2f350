#include "storage/gguf_gemma.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "storage/gguf_llama_like.h"

namespace vernier::storage {
namespace {

// Files do not say by what scores are divided. As llama.cpp: the 27B models, which it knows by their number
// of layers, by the width a head would have if heads filled the model's, all others by the size of a head.
int64_t QueryScalar(const LlamaLikeSizes& s, int64_t layers_of_27b) {
  return s.num_layers == layers_of_27b ? s.width / s.num_heads : s.head_size;
}

// What both have.
absl::Status AddGemmaFields(const GgufPlanner& planner, int64_t query_scalar, nlohmann::json& config) {
  config["hidden_activation"] = "gelu_pytorch_tanh";
  config["query_pre_attn_scalar"] = query_scalar;
  VN_ASSIGN_OR_RETURN(config["sliding_window"], planner.Positive("attention.sliding_window"));
  for (const absl::string_view cap : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    // Absent: the architecture's own default, as for config.json.
    if (!planner.Has(cap)) continue;
    VN_ASSIGN_OR_RETURN(config[std::string(cap)], planner.PositiveNumber(cap));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GgufPlan> PlanGgufGemma2(const Gguf& gguf) {
  GgufPlanner planner(gguf, "gemma2");
  VN_ASSIGN_OR_RETURN(
      LlamaLikePlan made,
      PlanLlamaLike(gguf, planner,
                    {.model_type = "gemma2", .causal_class = "Gemma2ForCausalLM", .gemma_norms = true}));
  VN_RETURN_IF_ERROR(
      AddGemmaFields(planner, QueryScalar(made.sizes, /*layers_of_27b=*/46), made.plan.config));
  return std::move(made.plan);
}

absl::StatusOr<GgufPlan> PlanGgufGemma3(const Gguf& gguf) {
  GgufPlanner planner(gguf, "gemma3");
  if (planner.Has("attention.sliding_window_pattern")) {
    return planner.Bad(
        "has its own pattern of windows (attention.sliding_window_pattern), which is not "
        "supported for GGUF files; import the Hugging Face folder");
  }
  VN_ASSIGN_OR_RETURN(LlamaLikePlan made, PlanLlamaLike(gguf, planner,
                                                        {.model_type = "gemma3_text",
                                                         .causal_class = "Gemma3ForCausalLM",
                                                         .head_norms = true,
                                                         .gemma_norms = true}));
  nlohmann::json& config = made.plan.config;
  VN_RETURN_IF_ERROR(AddGemmaFields(planner, QueryScalar(made.sizes, /*layers_of_27b=*/62), config));
  // The base of layers that see all tokens; windowed ones have their own, 10,000 where the file is silent.
  VN_ASSIGN_OR_RETURN(config["rope_theta"], planner.PositiveNumberOr("rope.freq_base", 1e6));
  VN_ASSIGN_OR_RETURN(config["rope_local_base_freq"], planner.PositiveNumberOr("rope.freq_base_swa", 1e4));
  config["sliding_window_pattern"] = 6;
  return std::move(made.plan);
}

}  // namespace vernier::storage
