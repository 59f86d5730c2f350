// The low-rank terms of linear layers that read the same x: y_i = base_i(x) + scale_i * (drop(x) A_i^T)
// B_i^T, with their own backward pass.
//
// Letters    T tokens, I input features, O output features, R rank.
// Trains     A_RI and B_OR, fp32. W is frozen: no gradient is computed for it.
// Precision  In x's dtype. With bf16 the masters are rounded once per use (R * I numbers, next to T * I), so
//            that every product runs on the CPU's bf16 units, which accumulate in fp32; gradients reach the
//            masters as fp32, so small updates add up there.
// Memory     Keeps x, once, drop(x) A^T (R / I of x's size, cheaper to keep than to compute again), and one
//            bit a channel with dropout.
// Speed      The A of all layers are one product with x, forward and backward (thin_products.h).
// Source     arXiv 2106.09685, section 4.1.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "adapters/keyed_dropout.h"

namespace vernier::adapters {

// One layer. `weight` is the base's, [O, I] or, with `weight_is_io`, [I, O]; it carries the gradient to x.
struct LowRankTerm {
  at::Tensor weight;
  bool weight_is_io = false;
  at::Tensor a_RI;
  at::Tensor b_OR;
  double scale = 1.0;
};

// Adds each term to its base_TO = base(x), computed without autograd and overwritten here. `mask`, of x, only
// with a single term: every layer draws its own. With B zero the results equal base(x).
std::vector<at::Tensor> AddLowRank(std::vector<at::Tensor> bases_TO, const at::Tensor& x_TI,
                                   const std::vector<LowRankTerm>& terms, const DropoutMask& mask);

}  // namespace vernier::adapters
