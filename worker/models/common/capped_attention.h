// Attention whose scores are capped (cap * tanh(score / cap), Gemma 2), which no kernel of LibTorch for CPUs
// knows: plain matrix products in fp32, a block of queries at a time, so that memory grows with tokens, not
// with their square. Exact, and slower than attention.h's kernel.
//
// Letters   N new tokens of a row, S all its tokens, H query heads, G key-value heads, C numbers per head.
// Source    arXiv:2408.00118, section 2.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "worker/models/common/attention.h"

namespace vernier::models {

struct CappedResult {
  at::Tensor out_NHC;     // in q's dtype
  at::Tensor log_sum_NH;  // fp32, of each softmax
};

// q [N, H, C] of the tokens that follow `past` others; k and v [S, G, C] with S = past + N.
CappedResult CappedAttention(const at::Tensor& q_NHC, const at::Tensor& k_SGC, const at::Tensor& v_SGC,
                             int64_t past, const AttentionRule& rule);

struct CappedGradients {
  at::Tensor q_NHC, k_SGC, v_SGC;  // fp32
};

// Of a whole row (past = 0), from what CappedAttention answered.
CappedGradients CappedAttentionBackward(const at::Tensor& grad_NHC, const at::Tensor& q_NHC,
                                        const at::Tensor& k_SGC, const at::Tensor& v_SGC,
                                        const CappedResult& result, const AttentionRule& rule);

}  // namespace vernier::models
