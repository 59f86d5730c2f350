// The low-rank term of one linear layer: y = base(x) + scale * (drop(x) A^T) B^T, with its own backward pass.
//
// Letters    T tokens, I input features, O output features, R rank.
// Trains     A_RI and B_OR, fp32. W is frozen: no gradient is computed for it.
// Precision  In x's dtype. With bf16 the masters are rounded once per use (R * I numbers, next to T * I), so
//            that every product runs on the CPU's bf16 units, which accumulate in fp32; gradients reach the
//            masters as fp32, so small updates add up there.
// Memory     Keeps x, which every linear layer that reads the same x shares, drop(x) A^T (R / I of x's size,
//            cheaper to keep than to compute again), and one bit a channel with dropout.
// Source     arXiv 2106.09685, section 4.1.
#pragma once

#include <ATen/core/Tensor.h>

#include "adapters/keyed_dropout.h"

namespace vernier::adapters {

struct LowRankTerm {
  at::Tensor a_RI;
  at::Tensor b_OR;
  double scale = 1.0;
  DropoutMask mask;
};

// Adds the term to `base_TO` = base(x), computed without autograd and overwritten here. `weight` is the
// base's, [O, I] or, with `weight_is_io`, [I, O]; it carries the gradient to x. With B zero the result equals
// base(x).
at::Tensor AddLowRank(at::Tensor base_TO, const at::Tensor& x_TI, const at::Tensor& weight, bool weight_is_io,
                      const LowRankTerm& term);

}  // namespace vernier::adapters
