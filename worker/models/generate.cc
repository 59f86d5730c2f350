#include "worker/models/generate.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "worker/models/sampling.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

absl::Status CheckPrompt(const ModelConfig& config, absl::Span<const int64_t> prompt,
                         int64_t max_new_tokens) {
  if (prompt.empty()) return absl::InvalidArgumentError("the prompt is empty; give it at least one token");
  const int64_t size = static_cast<int64_t>(prompt.size());
  if (size > config.max_positions || max_new_tokens > config.max_positions - size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the prompt of ", size, " tokens and ", max_new_tokens, " new ones exceed the model's context of ",
        config.max_positions, "; shorten the prompt or lower max_new_tokens"));
  }
  for (int64_t i = 0; i < size; ++i) {
    if (prompt[i] < 0 || prompt[i] >= config.vocab_size) {
      return absl::InvalidArgumentError(absl::StrCat("token ", i, " of the prompt is ", prompt[i],
                                                     ", outside the vocabulary of ", config.vocab_size));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<GeneratedTokens> Generate(const CausalLm& model, const Overlay& overlay,
                                         absl::Span<const int64_t> prompt, const GenerateOptions& options,
                                         const OnToken& on_token) {
  VN_RETURN_IF_ERROR(CheckGenerateOptions(options));
  VN_RETURN_IF_ERROR(CheckPrompt(model.config(), prompt, options.max_new_tokens));
  const at::NoGradGuard no_grad;
  const at::Tensor head_VD = model.HeadWeight(overlay);
  KvCache cache;
  GeneratedTokens generated;
  std::vector<int64_t> next(prompt.begin(), prompt.end());
  while (true) {
    if (model.MustStartAgain(cache.length, cache.length + static_cast<int64_t>(next.size()))) {
      cache = KvCache();
      next.assign(prompt.begin(), prompt.end());
      next.insert(next.end(), generated.ids.begin(), generated.ids.end());
    }
    TokenBatch batch;
    batch.ids_T = torch::tensor(next, at::TensorOptions().dtype(at::kLong));
    batch.row_offsets = {0, static_cast<int64_t>(next.size())};
    const at::Tensor hidden_TD = model.Hidden(batch, overlay, &cache);
    const at::Tensor logits_V =
        model.Logits(hidden_TD.narrow(0, hidden_TD.size(0) - 1, 1), head_VD).flatten().contiguous();
    VN_ASSIGN_OR_RETURN(const int64_t id,
                        PickToken({logits_V.const_data_ptr<float>(), static_cast<size_t>(logits_V.numel())},
                                  options, cache.length));
    if (std::find(options.stop_ids.begin(), options.stop_ids.end(), id) != options.stop_ids.end()) {
      generated.stopped = true;
      return generated;
    }
    generated.ids.push_back(id);
    if (on_token != nullptr && !on_token(id)) {
      generated.stopped = true;
      return generated;
    }
    if (static_cast<int64_t>(generated.ids.size()) == options.max_new_tokens) return generated;
    next = {id};
  }
}

}  // namespace vernier::models
