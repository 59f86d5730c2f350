#include "worker/models/llama/model.h"

#include <torch/torch.h>

#include <cmath>
#include <optional>
#include <utility>

#include "common/status_macros.h"
#include "worker/models/common/attention.h"
#include "worker/models/common/forward_pass.h"
#include "worker/models/common/rms_norm.h"
#include "worker/models/common/rotary.h"
#include "worker/models/common/swiglu.h"
#include "worker/models/llama/config.h"
#include "worker/models/llama/weights.h"

namespace vernier::models {
namespace {

class Llama final : public CausalLm {
 public:
  Llama(LlamaConfig config, LlamaWeights weights, std::vector<Parameter> parameters,
        at::ScalarType compute_dtype)
      : weights_(std::move(weights)), rotary_(config.rotary) {
    config_ = std::move(config.model);
    parameters_ = std::move(parameters);
    sites_ = weights_.layout.linear_sites();
    compute_dtype_ = compute_dtype;
  }

  at::Tensor Hidden(const TokenBatch& batch, const Overlay& overlay, KvCache* cache) const override {
    std::optional<at::NoGradGuard> no_grad;
    if (cache != nullptr) no_grad.emplace();
    const ForwardPass pass{*this, overlay, batch};
    const RotaryAngles angles = rotary_.At(PositionsOf(batch, cache, config_.max_positions));
    at::Tensor x_TD = at::embedding(pass.Use(weights_.embedding), batch.ids_T);
    for (int64_t i = 0; i < config_.num_layers; ++i) {
      const LlamaLayer& layer = weights_.layers[i];
      x_TD = x_TD + Attention(pass, i, RmsNorm(x_TD, pass.Use(layer.input_norm), config_.norm_epsilon),
                              angles, cache);
      x_TD =
          x_TD + Mlp(pass, layer, RmsNorm(x_TD, pass.Use(layer.post_attention_norm), config_.norm_epsilon));
    }
    if (cache != nullptr) cache->length += batch.ids_T.numel();
    return RmsNorm(x_TD, pass.Use(weights_.final_norm), config_.norm_epsilon);
  }

  at::Tensor HeadWeight(const Overlay& overlay) const override {
    return overlay.Use(parameters_[weights_.head]);
  }

 private:
  at::Tensor Attention(const ForwardPass& pass, int64_t index, const at::Tensor& x_TD,
                       const RotaryAngles& angles, KvCache* cache) const {
    const LlamaLayer& layer = weights_.layers[index];
    const at::Tensor q_THC = ApplyRotary(pass.Linear(layer.q, x_TD), angles);
    const at::Tensor k_TGC = ApplyRotary(pass.Linear(layer.k, x_TD), angles);
    const at::Tensor v_TGC =
        pass.Linear(layer.v, x_TD).unflatten(1, {config_.num_kv_heads, config_.head_dim});
    const double scale = 1.0 / std::sqrt(static_cast<double>(config_.head_dim));
    return pass.Linear(layer.o, cache == nullptr
                                    ? PackedAttention(q_THC, k_TGC, v_TGC, pass.batch.row_offsets, scale)
                                    : CachedAttention(q_THC, k_TGC, v_TGC, *cache, index, scale));
  }

  at::Tensor Mlp(const ForwardPass& pass, const LlamaLayer& layer, const at::Tensor& x_TD) const {
    return pass.Linear(layer.down, SwiGlu(pass.Linear(layer.gate, x_TD), pass.Linear(layer.up, x_TD)));
  }

  const LlamaWeights weights_;
  const Rotary rotary_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CausalLm>> LoadLlama(const ModelFolder& folder, at::ScalarType compute_dtype) {
  VN_ASSIGN_OR_RETURN(LlamaConfig config, ReadLlamaConfig(folder.config()));
  VN_ASSIGN_OR_RETURN(config.model.eos_token_ids, folder.EosTokenIds(config.model.vocab_size));
  LlamaWeights weights = DeclareLlamaWeights(config);
  VN_ASSIGN_OR_RETURN(std::vector<Parameter> parameters,
                      weights.layout.Load(folder, {.compute_dtype = compute_dtype,
                                                   .base_prefix = std::string(kLlamaPrefix),
                                                   .may_be_left_over = LlamaMayLeaveOver}));
  return std::make_unique<Llama>(std::move(config), std::move(weights), std::move(parameters), compute_dtype);
}

}  // namespace vernier::models
