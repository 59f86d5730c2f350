#include "worker/models/common/kernels.h"

#include <c10/util/BFloat16.h>

#include <algorithm>
#include <cmath>
#include <vector>

// Below this many numbers waking the other threads costs more than they save.
#define VN_PARALLEL_IF(count) (count) > 32768

namespace vernier::models::kernels {
namespace {

// Independent partial sums, so that the compiler may use vectors without changing the order of any sum.
constexpr int64_t kLanes = 16;
// Tokens whose weight gradients are added into one partial sum.
constexpr int64_t kTokenBlock = 64;

// The sum of term(i) for i in [0, size), in an order that depends on size alone.
template <typename Term>
float LaneSum(int64_t size, const Term& term) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
  }
  for (int64_t lane = 0; i < size; ++i, ++lane) lanes[lane] += term(i);
  for (int64_t step = kLanes / 2; step > 0; step /= 2) {
    for (int64_t lane = 0; lane < step; ++lane) lanes[lane] += lanes[lane + step];
  }
  return lanes[0];
}

}  // namespace

template <typename T>
void RmsNormForward(const T* x_TD, const float* weight_D, double epsilon, int64_t num_tokens, int64_t width,
                    T* y_TD, float* rstd_T) {
#pragma omp parallel for schedule(static) if (VN_PARALLEL_IF(num_tokens * width))
  for (int64_t t = 0; t < num_tokens; ++t) {
    const T* const x = x_TD + t * width;
    T* const y = y_TD + t * width;
    const float sum = LaneSum(width, [x](int64_t i) { return float(x[i]) * float(x[i]); });
    const float rstd = 1.0f / std::sqrt(sum / float(width) + float(epsilon));
    for (int64_t i = 0; i < width; ++i) y[i] = T(float(x[i]) * rstd * weight_D[i]);
    if (rstd_T != nullptr) rstd_T[t] = rstd;
  }
}

template <typename T>
void RmsNormBackwardInput(const T* grad_y_TD, const T* x_TD, const float* weight_D, const float* rstd_T,
                          int64_t num_tokens, int64_t width, T* grad_x_TD) {
#pragma omp parallel for schedule(static) if (VN_PARALLEL_IF(num_tokens * width))
  for (int64_t t = 0; t < num_tokens; ++t) {
    const T* const grad_y = grad_y_TD + t * width;
    const T* const x = x_TD + t * width;
    T* const grad_x = grad_x_TD + t * width;
    const float dot = LaneSum(width, [=](int64_t i) { return float(grad_y[i]) * weight_D[i] * float(x[i]); });
    const float rstd = rstd_T[t];
    const float pull = dot * rstd * rstd / float(width);
    for (int64_t i = 0; i < width; ++i) {
      grad_x[i] = T(rstd * (float(grad_y[i]) * weight_D[i] - float(x[i]) * pull));
    }
  }
}

template <typename T>
void RmsNormBackwardWeight(const T* grad_y_TD, const T* x_TD, const float* rstd_T, int64_t num_tokens,
                           int64_t width, float* grad_weight_D) {
  const int64_t num_blocks = (num_tokens + kTokenBlock - 1) / kTokenBlock;
  std::vector<float> partial(num_blocks * width);
#pragma omp parallel for schedule(static) if (VN_PARALLEL_IF(num_tokens * width))
  for (int64_t block = 0; block < num_blocks; ++block) {
    float* const sum = partial.data() + block * width;
    const int64_t end = std::min(num_tokens, (block + 1) * kTokenBlock);
    for (int64_t t = block * kTokenBlock; t < end; ++t) {
      const T* const grad_y = grad_y_TD + t * width;
      const T* const x = x_TD + t * width;
      for (int64_t i = 0; i < width; ++i) sum[i] += float(grad_y[i]) * float(x[i]) * rstd_T[t];
    }
  }
  std::fill(grad_weight_D, grad_weight_D + width, 0.0f);
  for (int64_t block = 0; block < num_blocks; ++block) {
    for (int64_t i = 0; i < width; ++i) grad_weight_D[i] += partial[block * width + i];
  }
}

template <typename T>
void Rotate(const T* x_THC, int64_t token_stride, int64_t head_stride, const float* cos_Th,
            const float* sin_Th, float direction, int64_t num_tokens, int64_t num_heads, int64_t head_dim,
            int64_t half, T* y_THC) {
#pragma omp parallel for schedule(static) if (VN_PARALLEL_IF(num_tokens * num_heads * half))
  for (int64_t t = 0; t < num_tokens; ++t) {
    const float* const cos = cos_Th + t * half;
    const float* const sin = sin_Th + t * half;
    for (int64_t head = 0; head < num_heads; ++head) {
      const T* const x = x_THC + t * token_stride + head * head_stride;
      T* const y = y_THC + (t * num_heads + head) * head_dim;
      for (int64_t i = 0; i < half; ++i) {
        const float a = float(x[i]);
        const float b = float(x[i + half]);
        const float turn = direction * sin[i];
        y[i] = T(a * cos[i] - b * turn);
        y[i + half] = T(b * cos[i] + a * turn);
      }
      for (int64_t i = 2 * half; i < head_dim; ++i) y[i] = x[i];
    }
  }
}

#define VN_INSTANTIATE(T)                                                                                  \
  template void RmsNormForward<T>(const T*, const float*, double, int64_t, int64_t, T*, float*);           \
  template void RmsNormBackwardInput<T>(const T*, const T*, const float*, const float*, int64_t, int64_t,  \
                                        T*);                                                               \
  template void RmsNormBackwardWeight<T>(const T*, const T*, const float*, int64_t, int64_t, float*);      \
  template void Rotate<T>(const T*, int64_t, int64_t, const float*, const float*, float, int64_t, int64_t, \
                          int64_t, int64_t, T*);
VN_INSTANTIATE(float)
VN_INSTANTIATE(c10::BFloat16)
#undef VN_INSTANTIATE

}  // namespace vernier::models::kernels
