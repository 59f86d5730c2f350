// Loops over plain memory that would be several passes as tensor operations. Compiled without torch, for
// several instruction sets, of which the processor's best is taken. T is float or c10::BFloat16; sums and
// products are fp32. A token's result depends on that token alone, so neither the number of threads nor what
// else is in the batch changes a bit of it.
//
// Letters   T tokens, D width, H heads, C numbers per head, F inner width, N targets, V vocabulary.
#pragma once

#include <cstdint>

namespace vernier::models::kernels {

struct RmsNormShape {
  double epsilon = 1e-5;
  int64_t num_tokens = 0;
  int64_t width = 0;
};

// y = x * rstd * weight with rstd = 1 / sqrt(mean(x^2) + epsilon), per token; rstd_T may be null. With
// `delta_TD` that of x + delta, rounded to T, which is written to sum_TD.
template <typename T>
void AddRmsNorm(const RmsNormShape& shape, const T* x_TD, const T* delta_TD, const float* weight_D, T* sum_TD,
                T* y_TD, float* rstd_T);

// The gradient to x, or to the sum that was normed, added to grad_sum_TD unless that is null.
template <typename T>
void RmsNormBackwardInput(const RmsNormShape& shape, const T* grad_y_TD, const T* grad_sum_TD, const T* x_TD,
                          const float* weight_D, const float* rstd_T, T* grad_x_TD);

// Sums over tokens in a fixed order, whatever the number of threads.
template <typename T>
void RmsNormBackwardWeight(const RmsNormShape& shape, const T* grad_y_TD, const T* x_TD, const float* rstd_T,
                           float* grad_weight_D);

// Rotates the first 2 * half numbers of each head: pairs (i, i + half) by the token's angles; `direction` -1
// turns back. The rest of a head is copied. Token t and head h of x start at t * token_stride + h *
// head_stride; y is [T, H, C] without gaps.
struct RotateShape {
  int64_t token_stride = 0, head_stride = 0;
  float direction = 1.0f;
  int64_t num_tokens = 0, num_heads = 0, head_dim = 0, half = 0;
};
template <typename T>
void Rotate(const RotateShape& shape, const T* x_THC, const float* cos_Th, const float* sin_Th, T* y_THC);

// y = silu(gate) * up. Rows of gate and up start at their strides; those of what is written have no gaps.
struct GateShape {
  int64_t num_tokens = 0, width = 0;
  int64_t gate_stride = 0, up_stride = 0;
};
template <typename T>
void SiluGate(const GateShape& shape, const T* gate_TF, const T* up_TF, T* y_TF);

template <typename T>
void SiluGateBackward(const GateShape& shape, const T* grad_y_TF, const T* gate_TF, const T* up_TF,
                      T* grad_gate_TF, T* grad_up_TF);

// nll_n = -log softmax(cap(logits_n))[target_n], and whether the target has the greatest logit (ties: the
// lowest id has). With want_gradient logits are overwritten with weight_n * d nll_n / d logits_n.
struct CrossEntropyShape {
  int64_t num_targets = 0, vocabulary = 0;
  float cap = 0.0f;  // cap(l) = cap * tanh(l / cap); 0: l
  bool want_gradient = false;
};
template <typename T>
void CrossEntropy(const CrossEntropyShape& shape, T* logits_NV, const int64_t* targets_N,
                  const float* weights_N, float* nll_N, bool* correct_N);

// A block of attention scores q k^T [M, K]: row m belongs to query m % queries of some head, which sees keys
// (m % queries + diagonal - window, m % queries + diagonal]; window 0: from key 0 on. Letters: M rows, K
// keys, C numbers per head.
struct ScoreShape {
  int64_t num_rows = 0, num_keys = 0, head_dim = 0;
  int64_t queries = 1, diagonal = 0, window = 0;
  float scale = 1.0f;
  float cap = 0.0f;  // scaled scores become cap * tanh(score / cap); 0: they stay
};
// p = softmax of each row over the keys that its query sees, 0 for the others, and the logarithm of its sum.
template <typename T>
void AttentionWeights(const ScoreShape& shape, const float* scores_MK, T* p_MK, float* log_sum_M);

// From the gradient to p, the result and its gradient: p again, and the gradient to the scores.
template <typename T>
void AttentionGradients(const ScoreShape& shape, const float* scores_MK, const float* grad_p_MK,
                        const T* out_MC, const T* grad_out_MC, const float* log_sum_M, T* p_MK,
                        T* grad_scores_MK);

// The loops of one instruction set, over tokens (or targets) [begin, end): the functions above on one thread.
template <typename T>
struct Loops {
  void (*add_rms_norm)(const RmsNormShape&, const T* x, const T* delta, const float* weight, T* sum, T* y,
                       float* rstd, int64_t begin, int64_t end);
  void (*rms_norm_backward_input)(const RmsNormShape&, const T* grad_y, const T* grad_sum, const T* x,
                                  const float* weight, const float* rstd, T* grad_x, int64_t begin,
                                  int64_t end);
  void (*rms_norm_backward_weight)(int64_t width, const T* grad_y, const T* x, const float* rstd, float* sum,
                                   int64_t begin, int64_t end);
  void (*rotate)(const RotateShape&, const T* x, const float* cos, const float* sin, T* y, int64_t begin,
                 int64_t end);
  void (*silu_gate)(const GateShape&, const T* gate, const T* up, T* y, int64_t begin, int64_t end);
  void (*silu_gate_backward)(const GateShape&, const T* grad_y, const T* gate, const T* up, T* grad_gate,
                             T* grad_up, int64_t begin, int64_t end);
  void (*cross_entropy)(const CrossEntropyShape&, T* logits, const int64_t* targets, const float* weights,
                        float* nll, bool* correct, int64_t begin, int64_t end);
  void (*attention_weights)(const ScoreShape&, const float* scores, T* p, float* log_sum, int64_t begin,
                            int64_t end);
  void (*attention_gradients)(const ScoreShape&, const float* scores, const float* grad_p, const T* out,
                              const T* grad_out, const float* log_sum, T* p, T* grad_scores, int64_t begin,
                              int64_t end);
};
namespace plain {
template <typename T>
Loops<T> MakeLoops();
}
namespace avx2 {
template <typename T>
Loops<T> MakeLoops();
}
namespace avx512 {
template <typename T>
Loops<T> MakeLoops();
}

}  // namespace vernier::models::kernels
