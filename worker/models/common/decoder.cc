#include "worker/models/common/decoder.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/models/common/checkpointed_block.h"
#include "worker/models/common/forward_pass.h"
#include "worker/models/common/rms_norm.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

class Decoder final : public CausalLm {
 public:
  Decoder(DecoderTraits traits, DecoderWeights weights, std::vector<Parameter> parameters,
          at::ScalarType compute_dtype)
      : traits_(std::move(traits)), weights_(std::move(weights)) {
    VN_CHECK(static_cast<int64_t>(traits_.layers.size()) == traits_.model.num_layers &&
             weights_.layers.size() == traits_.layers.size());
    config_ = traits_.model;
    for (const LayerTraits& layer : traits_.layers) {
      config_.windows.push_back(layer.attention.window);
      config_.attention_cap = layer.attention.cap;
    }
    if (!traits_.rotaries.empty()) {
      const int64_t rotated = traits_.rotaries.front().rotated;
      config_.rotated = rotated > 0 ? rotated : config_.head_dim;
    }
    if (traits_.rotaries.size() > 1) config_.local_rope_theta = traits_.rotaries.back().theta;
    parameters_ = std::move(parameters);
    sites_ = weights_.layout.linear_sites();
    compute_dtype_ = compute_dtype;
    for (const RotaryOptions& options : traits_.rotaries) rotaries_.emplace_back(options);
  }

  at::Tensor Hidden(const TokenBatch& batch, const Overlay& overlay, KvCache* cache) const override {
    std::optional<at::NoGradGuard> no_grad;
    if (cache != nullptr) no_grad.emplace();
    const ForwardPass pass{*this, overlay, batch};
    const at::Tensor positions_T = PositionsOf(batch, cache, config_.max_positions);
    std::vector<RotaryAngles> angles;
    for (const Rotary& rotary : rotaries_) {
      angles.push_back(rotary.At(positions_T, batch.row_offsets, cache == nullptr ? 0 : cache->length));
    }
    at::Tensor x_TD = Embed(pass, positions_T);
    const bool keeps = cache != nullptr || !at::GradMode::is_enabled();
    const int64_t num_again = keeps ? 0 : std::min(batch.checkpointed_layers, config_.num_layers);
    if (num_again > 0) x_TD = FirstBlocksAgain(batch, overlay, num_again, x_TD, angles);
    for (int64_t i = num_again; i < config_.num_layers; ++i) x_TD = Block(pass, i, x_TD, angles, cache);
    if (cache != nullptr) cache->length += batch.ids_T.numel();
    return Norm(pass, weights_.final_norm, x_TD);
  }

  at::Tensor HeadWeight(const Overlay& overlay) const override {
    return overlay.Use(parameters_[weights_.head]);
  }

  bool MustStartAgain(int64_t cached, int64_t length) const override {
    return std::any_of(rotaries_.begin(), rotaries_.end(),
                       [&](const Rotary& rotary) { return rotary.SwitchesBetween(cached, length); });
  }

 private:
  at::Tensor Embed(const ForwardPass& pass, const at::Tensor& positions_T) const {
    at::Tensor x_TD = at::embedding(pass.Use(weights_.embedding), pass.batch.ids_T);
    if (traits_.embedding_scale != 1.0) {
      // As transformers: the scale itself is rounded to the compute dtype.
      const float scale = static_cast<float>(traits_.embedding_scale);
      x_TD = x_TD * (compute_dtype_ == at::kBFloat16 ? static_cast<float>(c10::BFloat16(scale)) : scale);
    }
    if (weights_.positions < 0) return x_TD;
    return x_TD + at::embedding(pass.Use(weights_.positions), positions_T);
  }

  // The first `count` blocks, computed again in the backward pass: when it comes to them, what the others
  // kept is gone. What they need of the caller is copied; tensors share their numbers.
  at::Tensor FirstBlocksAgain(const TokenBatch& batch, const Overlay& overlay, int64_t count, at::Tensor x_TD,
                              const std::vector<RotaryAngles>& angles) const {
    const auto own = std::make_shared<const std::pair<TokenBatch, std::vector<RotaryAngles>>>(batch, angles);
    for (int64_t i = 0; i < count; ++i) {
      x_TD = CheckpointedBlock(x_TD, [this, &overlay, own, i](const at::Tensor& x) {
        return Block(ForwardPass{*this, overlay, own->first}, i, x, own->second, /*cache=*/nullptr);
      });
    }
    return x_TD;
  }

  at::Tensor Block(const ForwardPass& pass, int64_t index, const at::Tensor& x_TD,
                   const std::vector<RotaryAngles>& angles, KvCache* cache) const {
    const DecoderLayer& layer = weights_.layers[index];
    const NormedSum in = AddNorm(pass, layer.attention_norm, x_TD, {});
    const at::Tensor attended_TD =
        Norm(pass, layer.attention_out_norm, Attention(pass, index, in.normed_TD, angles, cache));
    if (traits_.parallel_residual) {
      return in.sum_TD + attended_TD + MlpOut(pass, layer, Norm(pass, layer.mlp_norm, in.sum_TD));
    }
    const NormedSum between = AddNorm(pass, layer.mlp_norm, in.sum_TD, attended_TD);
    return between.sum_TD + MlpOut(pass, layer, between.normed_TD);
  }

  // x + delta, or x where there is no delta, and its norm.
  NormedSum AddNorm(const ForwardPass& pass, const NormWeights& norm, const at::Tensor& x_TD,
                    const at::Tensor& delta_TD) const {
    if (norm.weight >= 0 && traits_.norm != NormKind::kLayer) {
      return AddRmsNorm(x_TD, delta_TD, RmsWeight(pass, norm), config_.norm_epsilon);
    }
    const at::Tensor sum_TD = delta_TD.defined() ? x_TD + delta_TD : x_TD;
    return {sum_TD, Norm(pass, norm, sum_TD)};
  }

  at::Tensor RmsWeight(const ForwardPass& pass, const NormWeights& norm) const {
    const at::Tensor weight = pass.Use(norm.weight);
    return traits_.norm == NormKind::kRmsPlusOne ? weight + 1.0 : weight;
  }

  // Over the last dimension of x, in fp32 inside whatever its dtype: the weights are.
  at::Tensor Norm(const ForwardPass& pass, const NormWeights& norm, const at::Tensor& x) const {
    if (norm.weight < 0) return x;
    if (traits_.norm != NormKind::kLayer) return RmsNorm(x, RmsWeight(pass, norm), config_.norm_epsilon);
    const at::Tensor weight = pass.Use(norm.weight);
    return at::layer_norm(x, weight.sizes(), weight, norm.bias < 0 ? at::Tensor() : pass.Use(norm.bias),
                          config_.norm_epsilon);
  }

  // [T, heads * C], the norm of each head or of all at once.
  at::Tensor HeadNorm(const ForwardPass& pass, const NormWeights& norm, const at::Tensor& x) const {
    if (norm.weight < 0) return x;
    const int64_t size = parameters_[norm.weight].base.numel();
    if (size == x.size(1)) return Norm(pass, norm, x);
    return Norm(pass, norm, x.reshape({-1, size})).view(x.sizes());
  }

  struct Qkv {
    at::Tensor q, k, v;  // [T, heads * C] or [T, heads, C]
  };
  Qkv Project(const ForwardPass& pass, const DecoderLayer& layer, const at::Tensor& x_TD) const {
    if (layer.qkv < 0) {
      const std::vector<at::Tensor> parts = pass.LinearGroup({layer.q, layer.k, layer.v}, x_TD);
      return {parts[0], parts[1], parts[2]};
    }
    const at::Tensor all = pass.Linear(layer.qkv, x_TD);
    if (traits_.qkv_order == QkvOrder::kByHead) {
      const std::vector<at::Tensor> parts =
          all.unflatten(1, {config_.num_heads, 3, config_.head_dim}).unbind(2);
      return {parts[0], parts[1], parts[2]};
    }
    const int64_t q_width = config_.num_heads * config_.head_dim;
    const int64_t kv_width = config_.num_kv_heads * config_.head_dim;
    const std::vector<at::Tensor> parts = all.split_with_sizes({q_width, kv_width, kv_width}, 1);
    return {parts[0], parts[1], parts[2]};
  }

  at::Tensor ByHead(const at::Tensor& x) const {
    return x.dim() == 3 ? x : x.unflatten(1, {-1, config_.head_dim});
  }

  at::Tensor Attention(const ForwardPass& pass, int64_t index, const at::Tensor& x_TD,
                       const std::vector<RotaryAngles>& angles, KvCache* cache) const {
    const DecoderLayer& layer = weights_.layers[index];
    const LayerTraits& traits = traits_.layers[index];
    const Qkv qkv = Project(pass, layer, x_TD);
    const auto turned = [&](const NormWeights& norm, const at::Tensor& x) {
      const at::Tensor normed = HeadNorm(pass, norm, x);
      return traits.rotary < 0 ? ByHead(normed) : ApplyRotary(normed, angles[traits.rotary]);
    };
    const at::Tensor q_THC = turned(layer.q_norm, qkv.q);
    const at::Tensor k_TGC = turned(layer.k_norm, qkv.k);
    const at::Tensor v_TGC = ByHead(qkv.v);
    return pass.Linear(layer.attention_out,
                       cache == nullptr
                           ? PackedAttention(q_THC, k_TGC, v_TGC, pass.batch.row_offsets, traits.attention)
                           : CachedAttention(q_THC, k_TGC, v_TGC, *cache, index, traits.attention));
  }

  at::Tensor MlpOut(const ForwardPass& pass, const DecoderLayer& layer, const at::Tensor& x_TD) const {
    return Norm(pass, layer.mlp_out_norm, pass.Linear(layer.down, Inner(pass, layer, x_TD)));
  }

  at::Tensor Inner(const ForwardPass& pass, const DecoderLayer& layer, const at::Tensor& x_TD) const {
    if (layer.gate_up >= 0) {
      const std::vector<at::Tensor> halves = pass.Linear(layer.gate_up, x_TD).chunk(2, 1);
      return Gated(traits_.activation, halves[0], halves[1]);
    }
    if (layer.gate < 0) return Activate(traits_.activation, pass.Linear(layer.up, x_TD));
    const std::vector<at::Tensor> halves = pass.LinearGroup({layer.gate, layer.up}, x_TD);
    return Gated(traits_.activation, halves[0], halves[1]);
  }

  const DecoderTraits traits_;
  const DecoderWeights weights_;
  std::vector<Rotary> rotaries_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<CausalLm>> LoadDecoder(const ModelFolder& folder, DecoderTraits traits,
                                                      DecoderWeights weights, at::ScalarType compute_dtype) {
  VN_ASSIGN_OR_RETURN(traits.model.eos_token_ids, folder.EosTokenIds(traits.model.vocab_size));
  VN_ASSIGN_OR_RETURN(std::vector<Parameter> parameters,
                      weights.layout.Load(folder, {.compute_dtype = compute_dtype,
                                                   .base_prefix = weights.base_prefix,
                                                   .may_be_left_over = weights.may_be_left_over}));
  return std::make_unique<Decoder>(std::move(traits), std::move(weights), std::move(parameters),
                                   compute_dtype);
}

}  // namespace vernier::models
