#include "storage/model_family.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/text.h"
#include "storage/gguf_gpt2.h"
#include "storage/gguf_llama.h"

namespace vernier::storage {
namespace {

constexpr ModelFamily kFamilies[] = {
    {"llama", "LlamaForCausalLM", "max_position_embeddings", "embed_tokens.weight", PlanGgufLlama},
    {"gpt2", "GPT2LMHeadModel", "n_positions", "wte.weight", PlanGgufGpt2},
};

}  // namespace

absl::Span<const ModelFamily> ModelFamilies() { return kFamilies; }

absl::StatusOr<const ModelFamily*> FindModelFamily(absl::string_view where, absl::string_view name) {
  for (const ModelFamily& family : kFamilies) {
    if (family.name == name) return &family;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      where, ": architecture \"", Excerpt(name), "\" is not supported; supported: ",
      absl::StrJoin(kFamilies, ", ",
                    [](std::string* out, const ModelFamily& f) { absl::StrAppend(out, f.name); })));
}

}  // namespace vernier::storage
