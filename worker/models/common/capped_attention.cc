#include "worker/models/common/capped_attention.h"

#include <limits>

#include "worker/models/common/query_blocks.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

// Scores of a block against 8,192 keys are 4 MB a head.
constexpr int64_t kBlock = 128;

// x [N, H, C] -> [G, (H / G) N, C] fp32: the heads that share keys are rows of one matrix product.
at::Tensor Grouped(const at::Tensor& x_NHC, int64_t num_groups) {
  const int64_t n = x_NHC.size(0), c = x_NHC.size(2);
  return x_NHC.to(at::kFloat).view({n, num_groups, -1, c}).permute({1, 2, 0, 3}).reshape({num_groups, -1, c});
}

// And back.
at::Tensor Ungrouped(const at::Tensor& x_GMC, int64_t n) {
  const int64_t g = x_GMC.size(0), c = x_GMC.size(2);
  return x_GMC.view({g, -1, n, c}).permute({2, 0, 1, 3}).reshape({n, -1, c});
}

// [S, G, C] -> [G, S, C] fp32.
at::Tensor ByGroup(const at::Tensor& x_SGC) { return x_SGC.to(at::kFloat).transpose(0, 1).contiguous(); }

// A block's scores: capped, and -infinity where a key is not seen. [G, (H / G) N, K].
at::Tensor Scores(const at::Tensor& q_GMC, const at::Tensor& k_GKC, const QueryBlock& queries, int64_t past,
                  const AttentionRule& rule) {
  at::Tensor scores =
      at::bmm(q_GMC, k_GKC.transpose(1, 2)).mul_(rule.scale / rule.cap).tanh_().mul_(rule.cap);
  // Query i stands at key past + begin + i - first_key of the block.
  const int64_t diagonal = past + queries.begin - queries.first_key;
  at::Tensor hidden = at::ones({queries.length, queries.num_keys()}, scores.options().dtype(at::kBool));
  hidden = rule.window == 0 ? hidden.triu(diagonal + 1)
                            : hidden.triu(diagonal + 1).logical_or_(hidden.tril(diagonal - rule.window));
  scores.view({scores.size(0), -1, queries.length, queries.num_keys()})
      .masked_fill_(hidden, -std::numeric_limits<float>::infinity());
  return scores;
}

}  // namespace

CappedResult CappedAttention(const at::Tensor& q_NHC, const at::Tensor& k_SGC, const at::Tensor& v_SGC,
                             int64_t past, const AttentionRule& rule) {
  const int64_t num_groups = k_SGC.size(1);
  const at::Tensor k_GSC = ByGroup(k_SGC), v_GSC = ByGroup(v_SGC);
  CappedResult result;
  result.out_NHC = at::empty(q_NHC.sizes(), q_NHC.options());
  result.log_sum_NH = at::empty({q_NHC.size(0), q_NHC.size(1)}, q_NHC.options().dtype(at::kFloat));
  ForQueryBlocks(q_NHC.size(0), past, rule.window, kBlock, [&](const QueryBlock& queries) {
    const at::Tensor keys = k_GSC.narrow(1, queries.first_key, queries.num_keys());
    const at::Tensor values = v_GSC.narrow(1, queries.first_key, queries.num_keys());
    at::Tensor p = Scores(Grouped(q_NHC.narrow(0, queries.begin, queries.length), num_groups), keys, queries,
                          past, rule);
    const at::Tensor log_sum = at::logsumexp(p, 2, /*keepdim=*/true);
    p.sub_(log_sum).exp_();
    result.out_NHC.narrow(0, queries.begin, queries.length)
        .copy_(Ungrouped(at::bmm(p, values), queries.length));
    result.log_sum_NH.narrow(0, queries.begin, queries.length)
        .copy_(Ungrouped(log_sum, queries.length).squeeze(2));
  });
  return result;
}

CappedGradients CappedAttentionBackward(const at::Tensor& grad_NHC, const at::Tensor& q_NHC,
                                        const at::Tensor& k_SGC, const at::Tensor& v_SGC,
                                        const CappedResult& result, const AttentionRule& rule) {
  const int64_t num_groups = k_SGC.size(1);
  const at::Tensor k_GSC = ByGroup(k_SGC), v_GSC = ByGroup(v_SGC);
  at::Tensor grad_k = at::zeros_like(k_GSC), grad_v = at::zeros_like(v_GSC);
  CappedGradients gradients;
  gradients.q_NHC = at::empty(q_NHC.sizes(), q_NHC.options().dtype(at::kFloat));
  ForQueryBlocks(q_NHC.size(0), /*past=*/0, rule.window, kBlock, [&](const QueryBlock& queries) {
    const auto block = [&](const at::Tensor& x) {
      return Grouped(x.narrow(0, queries.begin, queries.length), num_groups);
    };
    const auto seen = [&](const at::Tensor& x) { return x.narrow(1, queries.first_key, queries.num_keys()); };
    const at::Tensor q = block(q_NHC), grad = block(grad_NHC), out = block(result.out_NHC);
    const at::Tensor log_sum = block(result.log_sum_NH.unsqueeze(2));
    const at::Tensor scores = Scores(q, seen(k_GSC), queries, /*past=*/0, rule);
    const at::Tensor p = (scores - log_sum).exp_();
    seen(grad_v).add_(at::bmm(p.transpose(1, 2), grad));
    at::Tensor grad_scores = at::bmm(grad, seen(v_GSC).transpose(1, 2));
    grad_scores.sub_((grad * out).sum(2, /*keepdim=*/true)).mul_(p);
    // d cap tanh(s / cap) = 1 - tanh^2; where a key is not seen p is 0, but tanh is infinite.
    const at::Tensor slope = (scores / rule.cap).square_().neg_().add_(1.0);
    grad_scores.mul_(slope.masked_fill_(p == 0.0, 0.0)).mul_(rule.scale);
    gradients.q_NHC.narrow(0, queries.begin, queries.length)
        .copy_(Ungrouped(at::bmm(grad_scores, seen(k_GSC)), queries.length));
    seen(grad_k).add_(at::bmm(grad_scores.transpose(1, 2), q));
  });
  gradients.k_SGC = grad_k.transpose(0, 1);
  gradients.v_SGC = grad_v.transpose(0, 1);
  return gradients;
}

}  // namespace vernier::models
