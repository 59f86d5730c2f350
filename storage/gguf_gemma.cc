#include "storage/gguf_gemma.h"

#include <functional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "storage/gguf_llama_like.h"

namespace vernier::storage {
namespace {

constexpr LlamaLike kGemma2 = {
    .model_type = "gemma2", .causal_class = "Gemma2ForCausalLM", .gemma_norms = true};
constexpr LlamaLike kGemma3 = {.model_type = "gemma3_text",
                               .causal_class = "Gemma3ForCausalLM",
                               .head_norms = true,
                               .gemma_norms = true};
constexpr int64_t kLayersOfGemma2At27b = 46;
constexpr int64_t kLayersOfGemma3At27b = 62;
constexpr int64_t kGemma3Pattern = 6;  // every sixth layer sees all tokens

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

// What both need. `slides(layer)`: whether readers of the format give that layer a window.
absl::Status DescribeGemma(const GgufModelFacts& facts, int64_t query_scalar,
                           const std::function<bool(int64_t)>& slides, GgufDescriber& describer) {
  VN_RETURN_IF_ERROR(describer.Only("hidden_activation", {"gelu_pytorch_tanh", "gelu_new", "gelu_fast"}));
  VN_ASSIGN_OR_RETURN(const double scalar, describer.Number("query_pre_attn_scalar", 256.0));
  if (scalar != static_cast<double>(query_scalar)) {
    return describer.Bad(absl::StrCat("query_pre_attn_scalar = ", scalar,
                                      " cannot be said in GGUF; readers take it for ", query_scalar));
  }
  if (facts.has_parameter("model.layers.0.self_attn.q_proj.bias")) {
    return describer.Bad("attention_bias = true cannot be said in GGUF for gemma models");
  }
  for (int64_t layer = 0; layer < facts.sizes.num_layers; ++layer) {
    if (facts.layer_slides[layer] == slides(layer)) continue;
    return describer.Bad(absl::StrCat("layer ", layer,
                                      facts.layer_slides[layer] ? " has a window" : " has no window",
                                      ", which is not the pattern that readers of GGUF know"));
  }
  describer.Add("attention.sliding_window", static_cast<uint32_t>(facts.window));
  return absl::OkStatus();
}

// Both caps, which readers expect of such a file or do not know.
absl::Status DescribeCaps(const GgufModelFacts& facts, bool wants, GgufDescriber& describer) {
  struct Cap {
    absl::string_view name;
    double value;
  };
  for (const Cap& cap : {Cap{"attn_logit_softcapping", facts.attention_cap},
                         Cap{"final_logit_softcapping", facts.logit_cap}}) {
    if (wants != (cap.value > 0)) {
      return describer.Bad(absl::StrCat(cap.name, " = ", cap.value > 0 ? absl::StrCat(cap.value) : "null",
                                        " cannot be said in GGUF for such models"));
    }
    if (wants) describer.Add(cap.name, static_cast<float>(cap.value));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GgufPlan> PlanGgufGemma2(const Gguf& gguf) {
  GgufPlanner planner(gguf, "gemma2");
  VN_ASSIGN_OR_RETURN(LlamaLikePlan made, PlanLlamaLike(gguf, planner, kGemma2));
  VN_RETURN_IF_ERROR(
      AddGemmaFields(planner, QueryScalar(made.sizes, kLayersOfGemma2At27b), made.plan.config));
  return std::move(made.plan);
}

absl::StatusOr<GgufPlan> PlanGgufGemma3(const Gguf& gguf) {
  GgufPlanner planner(gguf, "gemma3");
  if (planner.Has("attention.sliding_window_pattern")) {
    return planner.Bad(
        "has its own pattern of windows (attention.sliding_window_pattern), which is not "
        "supported for GGUF files; import the Hugging Face folder");
  }
  VN_ASSIGN_OR_RETURN(LlamaLikePlan made, PlanLlamaLike(gguf, planner, kGemma3));
  nlohmann::json& config = made.plan.config;
  VN_RETURN_IF_ERROR(AddGemmaFields(planner, QueryScalar(made.sizes, kLayersOfGemma3At27b), config));
  // The base of layers that see all tokens; windowed ones have their own, 10,000 where the file is silent.
  VN_ASSIGN_OR_RETURN(config["rope_theta"], planner.PositiveNumberOr("rope.freq_base", 1e6));
  VN_ASSIGN_OR_RETURN(config["rope_local_base_freq"], planner.PositiveNumberOr("rope.freq_base_swa", 1e4));
  config["sliding_window_pattern"] = kGemma3Pattern;
  return std::move(made.plan);
}

absl::StatusOr<GgufDescription> DescribeGgufGemma2(const GgufModelFacts& facts) {
  GgufDescriber describer(facts, "gemma2");
  // llama.cpp takes the embedding for it, and refuses a file with a tensor more. It reads gemma3's.
  if (!facts.tied_head) {
    return describer.Bad("tie_word_embeddings = false cannot be said in GGUF for gemma2 models");
  }
  VN_RETURN_IF_ERROR(DescribeGemma(
      facts, QueryScalar(facts.sizes, kLayersOfGemma2At27b), [](int64_t layer) { return layer % 2 == 0; },
      describer));
  VN_RETURN_IF_ERROR(DescribeCaps(facts, /*wants=*/true, describer));
  return DescribeLlamaLike(facts, kGemma2, describer);
}

absl::StatusOr<GgufDescription> DescribeGgufGemma3(const GgufModelFacts& facts) {
  GgufDescriber describer(facts, "gemma3");
  VN_RETURN_IF_ERROR(DescribeGemma(
      facts, QueryScalar(facts.sizes, kLayersOfGemma3At27b),
      [](int64_t layer) { return (layer + 1) % kGemma3Pattern != 0; }, describer));
  VN_RETURN_IF_ERROR(DescribeCaps(facts, /*wants=*/false, describer));
  describer.Add("rope.freq_base_swa", static_cast<float>(facts.local_rope_theta));
  return DescribeLlamaLike(facts, kGemma3, describer);
}

}  // namespace vernier::storage
