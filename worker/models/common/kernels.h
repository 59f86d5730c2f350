// Loops over plain memory that would be several passes as tensor operations: root-mean-square norm and rotary
// positions. Compiled without torch. T is float or c10::BFloat16; sums and products are fp32. A token's
// result depends on that token alone, so neither the number of threads nor what else is in the batch changes
// a bit of it.
//
// Letters   T tokens, D width, H heads, C numbers per head.
#pragma once

#include <cstdint>

namespace vernier::models::kernels {

// y = x * rstd * weight with rstd = 1 / sqrt(mean(x^2) + epsilon), per token; rstd_T may be null.
template <typename T>
void RmsNormForward(const T* x_TD, const float* weight_D, double epsilon, int64_t num_tokens, int64_t width,
                    T* y_TD, float* rstd_T);

template <typename T>
void RmsNormBackwardInput(const T* grad_y_TD, const T* x_TD, const float* weight_D, const float* rstd_T,
                          int64_t num_tokens, int64_t width, T* grad_x_TD);

// Sums over tokens in a fixed order, whatever the number of threads.
template <typename T>
void RmsNormBackwardWeight(const T* grad_y_TD, const T* x_TD, const float* rstd_T, int64_t num_tokens,
                           int64_t width, float* grad_weight_D);

// Rotates the first 2 * half numbers of each head: pairs (i, i + half) by the token's angles; `direction` -1
// turns back. The rest of a head is copied. Token t and head h of x start at t * token_stride + h *
// head_stride; y is [T, H, C] without gaps.
template <typename T>
void Rotate(const T* x_THC, int64_t token_stride, int64_t head_stride, const float* cos_Th,
            const float* sin_Th, float direction, int64_t num_tokens, int64_t num_heads, int64_t head_dim,
            int64_t half, T* y_THC);

}  // namespace vernier::models::kernels
