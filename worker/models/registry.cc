// The table of model families: one line each.
#include "common/registry.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "worker/models/common/model_folder.h"
#include "worker/models/gemma2/model.h"
#include "worker/models/gemma3/model.h"
#include "worker/models/gpt2/model.h"
#include "worker/models/gpt_neox/model.h"
#include "worker/models/llama/model.h"
#include "worker/models/mistral/model.h"
#include "worker/models/model.h"
#include "worker/models/olmo2/model.h"
#include "worker/models/phi3/model.h"
#include "worker/models/qwen2/model.h"
#include "worker/models/qwen3/model.h"
#include "worker/models/smollm3/model.h"

namespace vernier::models {
namespace {

struct Entry {
  absl::string_view name;  // model_type
  absl::StatusOr<std::unique_ptr<CausalLm>> (*load)(const ModelFolder&, at::ScalarType);
  std::array<absl::string_view, 2> architectures;  // classes that the files may have been saved from
};

constexpr Entry kFamilies[] = {
    {"gemma2", LoadGemma2, {"Gemma2ForCausalLM", "Gemma2Model"}},
    {"gemma3_text", LoadGemma3, {"Gemma3ForCausalLM", "Gemma3TextModel"}},
    {"gpt2", LoadGpt2, {"GPT2LMHeadModel", "GPT2Model"}},
    {"gpt_neox", LoadGptNeox, {"GPTNeoXForCausalLM", "GPTNeoXModel"}},
    {"llama", LoadLlama, {"LlamaForCausalLM", "LlamaModel"}},
    {"mistral", LoadMistral, {"MistralForCausalLM", "MistralModel"}},
    {"olmo2", LoadOlmo2, {"Olmo2ForCausalLM", "Olmo2Model"}},
    {"phi3", LoadPhi3, {"Phi3ForCausalLM", "Phi3Model"}},
    {"qwen2", LoadQwen2, {"Qwen2ForCausalLM", "Qwen2Model"}},
    {"qwen3", LoadQwen3, {"Qwen3ForCausalLM", "Qwen3Model"}},
    {"smollm3", LoadSmollm3, {"SmolLM3ForCausalLM", "SmolLM3Model"}},
};

// Variants that no family does; the fields mean the same wherever they are.
absl::Status RefuseVariants(const ConfigReader& config) {
  for (const absl::string_view field :
       {"num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"}) {
    if (!config.Has(field)) continue;
    VN_ASSIGN_OR_RETURN(const int64_t experts, config.Int(field, 0, kMaxHiddenSize));
    if (experts > 1) {
      return config.Refuse(field,
                           absl::StrCat("mixtures of experts are not; dense models of these families are: ",
                                        absl::StrJoin(KnownModelTypes(), ", ")));
    }
  }
  if (config.Has("quantization_config")) {
    return config.Refuse("quantization_config", "save the model dequantised, or import its GGUF file");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<CausalLm>> LoadCausalLm(const std::string& folder,
                                                       at::ScalarType compute_dtype) {
  if (compute_dtype != at::kFloat && compute_dtype != at::kBFloat16) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, ": the compute type must be fp32 or bf16, not ", at::toString(compute_dtype)));
  }
  VN_ASSIGN_OR_RETURN(const ModelFolder opened, ModelFolder::Open(folder));
  const ConfigReader config = opened.config();
  VN_RETURN_IF_ERROR(RefuseVariants(config));
  VN_ASSIGN_OR_RETURN(const std::string model_type, config.String("model_type", ""));
  VN_ASSIGN_OR_RETURN(
      const Entry* entry,
      FindEntry<Entry>(kFamilies, absl::StrCat(folder, "/config.json: model_type"), model_type));
  VN_ASSIGN_OR_RETURN(const std::vector<std::string> architectures, config.Strings("architectures"));
  const bool is_known = architectures.empty() ||
                        std::any_of(architectures.begin(), architectures.end(), [&](const std::string& name) {
                          return std::find(entry->architectures.begin(), entry->architectures.end(), name) !=
                                 entry->architectures.end();
                        });
  if (!is_known) {
    return config.Refuse("architectures", absl::StrCat("supported for ", model_type, ": ",
                                                       absl::StrJoin(entry->architectures, ", ")));
  }
  return entry->load(opened, compute_dtype);
}

std::vector<std::string> KnownModelTypes() {
  std::vector<std::string> names;
  for (const Entry& entry : kFamilies) names.emplace_back(entry.name);
  return names;
}

}  // namespace vernier::models
