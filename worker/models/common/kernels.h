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

// Rotates each head's pairs (i, i + half), half = C / 2, by the token's angles; `direction` -1 turns back.
template <typename T>
void Rotate(const T* x_THC, const float* cos_Th, const float* sin_Th, float direction, int64_t num_tokens,
            int64_t num_heads, int64_t half, T* y_THC);

}  // namespace vernier::models::kernels
