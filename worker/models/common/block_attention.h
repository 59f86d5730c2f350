// Causal attention by matrix products, a block of queries at a time, so that memory grows with tokens, not
// with their square. Scores and forward weights are fp32; the backward pass rounds the weights and the
// gradients to the scores to q's dtype, as LibTorch's flash kernel does, which takes three times as long for
// the backward pass of rows of a few hundred tokens (ten times in bf16).
//
// Letters   N new tokens of a row, S all its tokens, H query heads, G key-value heads, C numbers per head.
// Capped    Scores with a cap (cap * tanh(score / cap)): arXiv:2408.00118, section 2.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "worker/models/common/attention.h"

namespace vernier::models {

struct BlockAttentionResult {
  at::Tensor out_NHC;     // in q's dtype
  at::Tensor log_sum_NH;  // fp32, of each softmax
};

// q [N, H, C] of the tokens that follow `past` others; k and v [S, G, C] with S = past + N.
BlockAttentionResult BlockAttention(const at::Tensor& q_NHC, const at::Tensor& k_SGC, const at::Tensor& v_SGC,
                                    int64_t past, const AttentionRule& rule);

struct BlockAttentionGradients {
  at::Tensor q_NHC;         // in q's dtype
  at::Tensor k_SGC, v_SGC;  // in q's dtype, or fp32 where several blocks were added
};

// Of a whole row (past = 0), from what BlockAttention answered.
BlockAttentionGradients BlockAttentionBackward(const at::Tensor& grad_NHC, const at::Tensor& q_NHC,
                                               const at::Tensor& k_SGC, const at::Tensor& v_SGC,
                                               const BlockAttentionResult& result, const AttentionRule& rule);

}  // namespace vernier::models
