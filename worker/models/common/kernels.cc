#include "worker/models/common/kernels.h"

#include <c10/util/BFloat16.h>
#include <omp.h>

#include <algorithm>
#include <vector>

namespace vernier::models::kernels {
namespace {

// Below this many numbers waking the other threads costs more than they save.
constexpr int64_t kMinParallel = 32768;
// Tokens whose weight gradients are added into one partial sum.
constexpr int64_t kTokenBlock = 64;

template <typename T>
Loops<T> Choose() {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    return avx512::MakeLoops<T>();
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::MakeLoops<T>();
  return plain::MakeLoops<T>();
}

template <typename T>
const Loops<T>& Best() {
  static const Loops<T> loops = Choose<T>();
  return loops;
}

// Calls body(begin, end) on each thread for its share of `count` items of `size` numbers.
template <typename Body>
void Split(int64_t count, int64_t size, const Body& body) {
#pragma omp parallel if (count * size > kMinParallel)
  {
    const int64_t threads = omp_get_num_threads();
    const int64_t thread = omp_get_thread_num();
    const int64_t begin = count * thread / threads;
    const int64_t end = count * (thread + 1) / threads;
    if (begin < end) body(begin, end);
  }
}

}  // namespace

template <typename T>
void AddRmsNorm(const RmsNormShape& shape, const T* x_TD, const T* delta_TD, const float* weight_D, T* sum_TD,
                T* y_TD, float* rstd_T) {
  Split(shape.num_tokens, shape.width, [&](int64_t begin, int64_t end) {
    Best<T>().add_rms_norm(shape, x_TD, delta_TD, weight_D, sum_TD, y_TD, rstd_T, begin, end);
  });
}

template <typename T>
void RmsNormBackwardInput(const RmsNormShape& shape, const T* grad_y_TD, const T* grad_sum_TD, const T* x_TD,
                          const float* weight_D, const float* rstd_T, T* grad_x_TD) {
  Split(shape.num_tokens, shape.width, [&](int64_t begin, int64_t end) {
    Best<T>().rms_norm_backward_input(shape, grad_y_TD, grad_sum_TD, x_TD, weight_D, rstd_T, grad_x_TD, begin,
                                      end);
  });
}

template <typename T>
void RmsNormBackwardWeight(const RmsNormShape& shape, const T* grad_y_TD, const T* x_TD, const float* rstd_T,
                           float* grad_weight_D) {
  const int64_t width = shape.width;
  const int64_t num_blocks = (shape.num_tokens + kTokenBlock - 1) / kTokenBlock;
  std::vector<float> partial(num_blocks * width);
  Split(num_blocks, kTokenBlock * width, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      Best<T>().rms_norm_backward_weight(width, grad_y_TD, x_TD, rstd_T, partial.data() + block * width,
                                         block * kTokenBlock,
                                         std::min(shape.num_tokens, (block + 1) * kTokenBlock));
    }
  });
  std::fill(grad_weight_D, grad_weight_D + width, 0.0f);
  for (int64_t block = 0; block < num_blocks; ++block) {
    for (int64_t i = 0; i < width; ++i) grad_weight_D[i] += partial[block * width + i];
  }
}

template <typename T>
void Rotate(const RotateShape& shape, const T* x_THC, const float* cos_Th, const float* sin_Th, T* y_THC) {
  Split(shape.num_tokens, shape.num_heads * shape.head_dim, [&](int64_t begin, int64_t end) {
    Best<T>().rotate(shape, x_THC, cos_Th, sin_Th, y_THC, begin, end);
  });
}

template <typename T>
void SiluGate(const GateShape& shape, const T* gate_TF, const T* up_TF, T* y_TF) {
  Split(shape.num_tokens, shape.width,
        [&](int64_t begin, int64_t end) { Best<T>().silu_gate(shape, gate_TF, up_TF, y_TF, begin, end); });
}

template <typename T>
void SiluGateBackward(const GateShape& shape, const T* grad_y_TF, const T* gate_TF, const T* up_TF,
                      T* grad_gate_TF, T* grad_up_TF) {
  Split(shape.num_tokens, shape.width, [&](int64_t begin, int64_t end) {
    Best<T>().silu_gate_backward(shape, grad_y_TF, gate_TF, up_TF, grad_gate_TF, grad_up_TF, begin, end);
  });
}

template <typename T>
void CrossEntropy(const CrossEntropyShape& shape, T* logits_NV, const int64_t* targets_N,
                  const float* weights_N, float* nll_N, bool* correct_N) {
  Split(shape.num_targets, shape.vocabulary, [&](int64_t begin, int64_t end) {
    Best<T>().cross_entropy(shape, logits_NV, targets_N, weights_N, nll_N, correct_N, begin, end);
  });
}

template <typename T>
void AttentionWeights(const ScoreShape& shape, const float* scores_MK, T* p_MK, float* log_sum_M) {
  Split(shape.num_rows, shape.num_keys, [&](int64_t begin, int64_t end) {
    Best<T>().attention_weights(shape, scores_MK, p_MK, log_sum_M, begin, end);
  });
}

template <typename T>
void AttentionGradients(const ScoreShape& shape, const float* scores_MK, const float* grad_p_MK,
                        const T* out_MC, const T* grad_out_MC, const float* log_sum_M, T* p_MK,
                        T* grad_scores_MK) {
  Split(shape.num_rows, shape.num_keys, [&](int64_t begin, int64_t end) {
    Best<T>().attention_gradients(shape, scores_MK, grad_p_MK, out_MC, grad_out_MC, log_sum_M, p_MK,
                                  grad_scores_MK, begin, end);
  });
}

#define VN_INSTANTIATE(T)                                                                                   \
  template void AddRmsNorm<T>(const RmsNormShape&, const T*, const T*, const float*, T*, T*, float*);       \
  template void RmsNormBackwardInput<T>(const RmsNormShape&, const T*, const T*, const T*, const float*,    \
                                        const float*, T*);                                                  \
  template void RmsNormBackwardWeight<T>(const RmsNormShape&, const T*, const T*, const float*, float*);    \
  template void Rotate<T>(const RotateShape&, const T*, const float*, const float*, T*);                    \
  template void SiluGate<T>(const GateShape&, const T*, const T*, T*);                                      \
  template void SiluGateBackward<T>(const GateShape&, const T*, const T*, const T*, T*, T*);                \
  template void CrossEntropy<T>(const CrossEntropyShape&, T*, const int64_t*, const float*, float*, bool*); \
  template void AttentionWeights<T>(const ScoreShape&, const float*, T*, float*);                           \
  template void AttentionGradients<T>(const ScoreShape&, const float*, const float*, const T*, const T*,    \
                                      const float*, T*, T*);
VN_INSTANTIATE(float)
VN_INSTANTIATE(c10::BFloat16)
#undef VN_INSTANTIATE

}  // namespace vernier::models::kernels
