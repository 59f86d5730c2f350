#include "storage/model_family.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/text.h"
#include "storage/gguf_gemma.h"
#include "storage/gguf_gpt2.h"
#include "storage/gguf_llama.h"
#include "storage/gguf_phi3.h"
#include "storage/gguf_qwen.h"

namespace vernier::storage {
namespace {

constexpr absl::string_view kContext = "max_position_embeddings";
constexpr absl::string_view kEmbedding = "embed_tokens.weight";
constexpr absl::string_view kHead = "lm_head.weight";

constexpr absl::string_view kRope[] = {"default", "linear", "dynamic", "yarn", "llama3"};
constexpr absl::string_view kLongRope[] = {"default", "longrope", "su"};

constexpr ModelFamily kFamilies[] = {
    {"gemma2", "Gemma2ForCausalLM", kContext, kEmbedding, kHead, kRope, true, "gemma2", PlanGgufGemma2,
     DescribeGgufGemma2},
    {"gemma3_text", "Gemma3ForCausalLM", kContext, kEmbedding, kHead, kRope, true, "gemma3", PlanGgufGemma3,
     DescribeGgufGemma3},
    {"gpt2",
     "GPT2LMHeadModel",
     "n_positions",
     "wte.weight",
     kHead,
     {},
     true,
     "gpt2",
     PlanGgufGpt2,
     DescribeGgufGpt2},
    {"gpt_neox", "GPTNeoXForCausalLM", kContext, "embed_in.weight", "embed_out.weight", kRope},
    {"llama", "LlamaForCausalLM", kContext, kEmbedding, kHead, kRope, false, "llama", PlanGgufLlama,
     DescribeGgufLlama},
    {"mistral", "MistralForCausalLM", kContext, kEmbedding, kHead, kRope, false, "", nullptr,
     DescribeGgufMistral},
    {"olmo2", "Olmo2ForCausalLM", kContext, kEmbedding, kHead, kRope},
    {"phi3", "Phi3ForCausalLM", kContext, kEmbedding, kHead, kLongRope, false, "phi3", PlanGgufPhi3,
     DescribeGgufPhi3},
    {"qwen2", "Qwen2ForCausalLM", kContext, kEmbedding, kHead, kRope, false, "qwen2", PlanGgufQwen2,
     DescribeGgufQwen2},
    {"qwen3", "Qwen3ForCausalLM", kContext, kEmbedding, kHead, kRope, false, "qwen3", PlanGgufQwen3,
     DescribeGgufQwen3},
    {"smollm3", "SmolLM3ForCausalLM", kContext, kEmbedding, kHead, kRope, true},
};

absl::StatusOr<const ModelFamily*> Find(absl::string_view where, absl::string_view name,
                                        absl::string_view ModelFamily::*field) {
  std::vector<absl::string_view> names;
  for (const ModelFamily& family : kFamilies) {
    if (family.*field == name && !name.empty()) return &family;
    if (!(family.*field).empty()) names.push_back(family.*field);
  }
  return absl::InvalidArgumentError(
      absl::StrCat(where, ": architecture \"", Excerpt(name),
                   "\" is not supported; supported: ", absl::StrJoin(names, ", ")));
}

}  // namespace

absl::Span<const ModelFamily> ModelFamilies() { return kFamilies; }

absl::StatusOr<const ModelFamily*> FindModelFamily(absl::string_view where, absl::string_view name) {
  return Find(where, name, &ModelFamily::name);
}

absl::StatusOr<const ModelFamily*> FindGgufFamily(absl::string_view where, absl::string_view name) {
  return Find(where, name, &ModelFamily::gguf_name);
}

}  // namespace vernier::storage
