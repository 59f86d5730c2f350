#include "worker/models/common/block_attention.h"

#include <algorithm>

#include "worker/models/common/dispatch.h"
#include "worker/models/common/kernels.h"
#include "worker/models/common/query_blocks.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

// Rows up to this long are one block: half of its scores are masked, but a second block costs more.
constexpr int64_t kShortRow = 256;
// Scores of a block against 8,192 keys are 4 MB a head.
constexpr int64_t kBlock = 128;

int64_t BlockOf(int64_t num_new) { return num_new <= kShortRow ? kShortRow : kBlock; }

// x [N, H, C] -> [G, (H / G) N, C]: the heads that share keys are rows of one matrix product.
at::Tensor Grouped(const at::Tensor& x_NHC, int64_t num_groups) {
  const int64_t c = x_NHC.size(2);
  return x_NHC.unflatten(1, {num_groups, -1}).permute({1, 2, 0, 3}).reshape({num_groups, -1, c}).contiguous();
}

// And back.
at::Tensor Ungrouped(const at::Tensor& x_GMC, int64_t n) {
  const int64_t g = x_GMC.size(0), c = x_GMC.size(2);
  return x_GMC.view({g, -1, n, c}).permute({2, 0, 1, 3}).reshape({n, -1, c});
}

// [S, G, C] -> [G, S, C].
at::Tensor ByGroup(const at::Tensor& x_SGC) { return x_SGC.transpose(0, 1).contiguous(); }

// [G, M, C] x [G, K, C] -> [G, M, K] in fp32: no score is rounded to bf16.
at::Tensor Scores(const at::Tensor& x_GMC, const at::Tensor& y_GKC) {
  return at::bmm(x_GMC.to(at::kFloat), y_GKC.to(at::kFloat).transpose(1, 2));
}

kernels::ScoreShape ShapeOf(const at::Tensor& scores_GMK, int64_t head_dim, const QueryBlock& queries,
                            int64_t past, const AttentionRule& rule) {
  return {.num_rows = scores_GMK.size(0) * scores_GMK.size(1),
          .num_keys = scores_GMK.size(2),
          .head_dim = head_dim,
          .queries = queries.length,
          // Query i stands at key past + begin + i - first_key of the block.
          .diagonal = past + queries.begin - queries.first_key,
          .window = rule.window,
          .scale = static_cast<float>(rule.scale),
          .cap = static_cast<float>(rule.cap)};
}

}  // namespace

BlockAttentionResult BlockAttention(const at::Tensor& q_NHC, const at::Tensor& k_SGC, const at::Tensor& v_SGC,
                                    int64_t past, const AttentionRule& rule) {
  const int64_t num_groups = k_SGC.size(1);
  const at::Tensor k_GSC = ByGroup(k_SGC), v_GSC = ByGroup(v_SGC);
  BlockAttentionResult result;
  result.out_NHC = at::empty(q_NHC.sizes(), q_NHC.options());
  result.log_sum_NH = at::empty({q_NHC.size(0), q_NHC.size(1)}, q_NHC.options().dtype(at::kFloat));
  ForQueryBlocks(q_NHC.size(0), past, rule.window, BlockOf(q_NHC.size(0)), [&](const QueryBlock& queries) {
    const auto seen = [&](const at::Tensor& x) { return x.narrow(1, queries.first_key, queries.num_keys()); };
    const at::Tensor q = Grouped(q_NHC.narrow(0, queries.begin, queries.length), num_groups);
    const at::Tensor scores = Scores(q, seen(k_GSC));
    at::Tensor p = at::empty_like(scores);
    at::Tensor log_sum = at::empty({scores.size(0), scores.size(1), 1}, scores.options());
    kernels::AttentionWeights<float>(ShapeOf(scores, q.size(2), queries, past, rule),
                                     scores.const_data_ptr<float>(), p.mutable_data_ptr<float>(),
                                     log_sum.mutable_data_ptr<float>());
    result.out_NHC.narrow(0, queries.begin, queries.length)
        .copy_(Ungrouped(at::bmm(p, seen(v_GSC).to(at::kFloat)), queries.length));
    result.log_sum_NH.narrow(0, queries.begin, queries.length)
        .copy_(Ungrouped(log_sum, queries.length).squeeze(2));
  });
  return result;
}

BlockAttentionGradients BlockAttentionBackward(const at::Tensor& grad_NHC, const at::Tensor& q_NHC,
                                               const at::Tensor& k_SGC, const at::Tensor& v_SGC,
                                               const BlockAttentionResult& result,
                                               const AttentionRule& rule) {
  const int64_t num_new = q_NHC.size(0), num_groups = k_SGC.size(1);
  const at::Tensor k_GSC = ByGroup(k_SGC), v_GSC = ByGroup(v_SGC);
  BlockAttentionGradients gradients;
  gradients.q_NHC = at::empty(q_NHC.sizes(), q_NHC.options());
  const bool whole = num_new <= BlockOf(num_new);
  at::Tensor grad_k, grad_v;
  if (!whole) {
    grad_k = at::zeros(k_GSC.sizes(), k_GSC.options().dtype(at::kFloat));
    grad_v = at::zeros_like(grad_k);
  }
  ForQueryBlocks(num_new, /*past=*/0, rule.window, BlockOf(num_new), [&](const QueryBlock& queries) {
    const auto block = [&](const at::Tensor& x) {
      return Grouped(x.narrow(0, queries.begin, queries.length), num_groups);
    };
    const auto seen = [&](const at::Tensor& x) { return x.narrow(1, queries.first_key, queries.num_keys()); };
    const at::Tensor q = block(q_NHC), grad = block(grad_NHC), out = block(result.out_NHC);
    const at::Tensor log_sum = block(result.log_sum_NH.unsqueeze(2));
    const at::Tensor scores = Scores(q, seen(k_GSC));
    const at::Tensor grad_p = Scores(grad, seen(v_GSC));
    at::Tensor p = at::empty(scores.sizes(), q.options());
    at::Tensor grad_scores = at::empty(scores.sizes(), q.options());
    ForElementType(q, [&](auto element) {
      using T = decltype(element);
      kernels::AttentionGradients<T>(
          ShapeOf(scores, q.size(2), queries, /*past=*/0, rule), scores.const_data_ptr<float>(),
          grad_p.const_data_ptr<float>(), out.const_data_ptr<T>(), grad.const_data_ptr<T>(),
          log_sum.const_data_ptr<float>(), p.mutable_data_ptr<T>(), grad_scores.mutable_data_ptr<T>());
    });
    gradients.q_NHC.narrow(0, queries.begin, queries.length)
        .copy_(Ungrouped(at::bmm(grad_scores, seen(k_GSC)), queries.length));
    const at::Tensor block_k = at::bmm(grad_scores.transpose(1, 2), q);
    const at::Tensor block_v = at::bmm(p.transpose(1, 2), grad);
    if (whole) {
      grad_k = block_k;
      grad_v = block_v;
    } else {
      seen(grad_k).add_(block_k);
      seen(grad_v).add_(block_v);
    }
  });
  gradients.k_SGC = grad_k.transpose(0, 1);
  gradients.v_SGC = grad_v.transpose(0, 1);
  return gradients;
}

}  // namespace vernier::models
