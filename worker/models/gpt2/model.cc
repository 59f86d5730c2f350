#include "worker/models/gpt2/model.h"

#include <torch/torch.h>

#include <cmath>
#include <optional>
#include <utility>

#include "common/status_macros.h"
#include "worker/models/common/attention.h"
#include "worker/models/common/forward_pass.h"
#include "worker/models/gpt2/config.h"
#include "worker/models/gpt2/weights.h"

namespace vernier::models {
namespace {

class Gpt2 final : public CausalLm {
 public:
  Gpt2(Gpt2Config config, Gpt2Weights weights, std::vector<Parameter> parameters,
       at::ScalarType compute_dtype)
      : family_(std::move(config)), weights_(std::move(weights)) {
    config_ = family_.model;
    parameters_ = std::move(parameters);
    sites_ = weights_.layout.linear_sites();
    compute_dtype_ = compute_dtype;
  }

  at::Tensor Hidden(const TokenBatch& batch, const Overlay& overlay, KvCache* cache) const override {
    std::optional<at::NoGradGuard> no_grad;
    if (cache != nullptr) no_grad.emplace();
    const ForwardPass pass{*this, overlay, batch};
    const at::Tensor positions_T = PositionsOf(batch, cache, config_.max_positions);
    at::Tensor x_TD = at::embedding(pass.Use(weights_.embedding), batch.ids_T) +
                      at::embedding(pass.Use(weights_.positions), positions_T);
    for (int64_t i = 0; i < config_.num_layers; ++i) {
      const Gpt2Layer& layer = weights_.layers[i];
      x_TD = x_TD + Attention(pass, i, Norm(pass, layer.attention_norm, x_TD), cache);
      x_TD = x_TD + Mlp(pass, layer, Norm(pass, layer.mlp_norm, x_TD));
    }
    if (cache != nullptr) cache->length += batch.ids_T.numel();
    return Norm(pass, weights_.final_norm, x_TD);
  }

  at::Tensor HeadWeight(const Overlay& overlay) const override {
    return overlay.Use(parameters_[weights_.head]);
  }

 private:
  // fp32 inside whatever the dtype of x: the weights are.
  at::Tensor Norm(const ForwardPass& pass, const Gpt2Norm& norm, const at::Tensor& x_TD) const {
    return at::layer_norm(x_TD, {config_.hidden_size}, pass.Use(norm.weight), pass.Use(norm.bias),
                          config_.norm_epsilon);
  }

  at::Tensor Attention(const ForwardPass& pass, int64_t index, const at::Tensor& x_TD, KvCache* cache) const {
    const Gpt2Layer& layer = weights_.layers[index];
    const std::vector<at::Tensor> qkv =
        pass.Linear(layer.qkv, x_TD).unflatten(1, {3, config_.num_heads, config_.head_dim}).unbind(1);
    double scale = family_.scale_attention ? 1.0 / std::sqrt(static_cast<double>(config_.head_dim)) : 1.0;
    if (family_.scale_attention_by_layer) scale /= static_cast<double>(index + 1);
    return pass.Linear(layer.attention_out,
                       cache == nullptr
                           ? PackedAttention(qkv[0], qkv[1], qkv[2], pass.batch.row_offsets, scale)
                           : CachedAttention(qkv[0], qkv[1], qkv[2], *cache, index, scale));
  }

  at::Tensor Mlp(const ForwardPass& pass, const Gpt2Layer& layer, const at::Tensor& x_TD) const {
    return pass.Linear(layer.down, at::gelu(pass.Linear(layer.up, x_TD), family_.gelu_approximation));
  }

  const Gpt2Config family_;
  const Gpt2Weights weights_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CausalLm>> LoadGpt2(const ModelFolder& folder, at::ScalarType compute_dtype) {
  VN_ASSIGN_OR_RETURN(Gpt2Config config, ReadGpt2Config(folder.config()));
  VN_ASSIGN_OR_RETURN(config.model.eos_token_ids, folder.EosTokenIds(config.model.vocab_size));
  Gpt2Weights weights = DeclareGpt2Weights(config);
  VN_ASSIGN_OR_RETURN(std::vector<Parameter> parameters,
                      weights.layout.Load(folder, {.compute_dtype = compute_dtype,
                                                   .base_prefix = std::string(kGpt2Prefix),
                                                   .may_be_left_over = Gpt2MayLeaveOver}));
  return std::make_unique<Gpt2>(std::move(config), std::move(weights), std::move(parameters), compute_dtype);
}

}  // namespace vernier::models
