// The backward pass of causal attention in tiles of AMX, one head of one row at a time: scores again from q,
// k and the logarithms of the softmaxes' sums, in blocks of 32 x 32. As in LibTorch's flash kernel the
// weights and the gradients to the scores are rounded to bf16, all sums are fp32.
//
// Letters   L tokens of the row, C numbers per head.
// Bits      The result depends on the row's own tokens alone; zeros stand behind its last block.
// Source    Dao, "FlashAttention-2", arXiv:2307.08691, algorithm 2.
#pragma once

#include <cstdint>

#include "worker/models/common/amx.h"

namespace vernier::models::amx {

// bf16 [L, C] within a larger tensor: token t's numbers lie at data + t * stride.
struct HeadRows {
  const Half* data = nullptr;
  int64_t stride = 0;
};

struct HeadAttention {
  HeadRows q, k, v, out, grad;  // the result, and the gradient to it
  const float* log_sum = nullptr;
  int64_t log_sum_stride = 0;
  int64_t num_tokens = 0;
  int64_t head_dim = 0;  // a multiple of 32
  int64_t window = 0;    // a token sees itself and the window - 1 before it; 0: all
  float scale = 1.0f;
};

// Of the scratch memory that Backward wants for rows of up to `num_tokens`.
int64_t ScratchBytes(int64_t num_tokens, int64_t head_dim, int64_t window);

// Writes the gradients to q (bf16), and to k and v (fp32 [L, C]). `scratch`: at a multiple of 64, one a
// thread.
void Backward(const HeadAttention& head, void* scratch, Half* grad_q, int64_t grad_q_stride, float* grad_k_LC,
              float* grad_v_LC);

}  // namespace vernier::models::amx
