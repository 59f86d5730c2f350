// Root-mean-square norm, y = x / sqrt(mean(x^2) + epsilon) * weight, in fp32 inside whatever the dtype of x.
// Saves x and one number a token for backward; the weight's gradient is made only where it trains.
// Source     arXiv:1910.07467.
#pragma once

#include <ATen/core/Tensor.h>

namespace vernier::models {

// x [T, D] in fp32 or bf16, weight [D] fp32 -> [T, D] in x's dtype.
at::Tensor RmsNorm(const at::Tensor& x_TD, const at::Tensor& weight_D, double epsilon);

// A residual stream and its norm. Where the stream goes on beside what is made of its norm, this adds the
// two gradients in the same pass that makes the norm's.
struct NormedSum {
  at::Tensor sum_TD;
  at::Tensor normed_TD;
};
// Of x + delta; of x alone where delta is undefined.
NormedSum AddRmsNorm(const at::Tensor& x_TD, const at::Tensor& delta_TD, const at::Tensor& weight_D,
                     double epsilon);

}  // namespace vernier::models
