// Cross-entropy of a linear head without ever holding [N, V] logits: the gradient is made chunk by chunk in the
// forward pass. Sources: arXiv 2410.10989 (section 3.2, fused linear cross-entropy).
#pragma once

#include <ATen/core/Tensor.h>

namespace vernier::objectives {

// Letters  N target positions, D hidden width, V vocabulary.
struct LinearCrossEntropy {
  at::Tensor loss;        // scalar fp32: sum_n weights_n * nll_n
  at::Tensor nll_N;       // fp32, no gradient
  at::Tensor correct_N;   // bool, arg-max equals the target; ties go to the lower id
};

// hidden_ND and head_VD in one dtype (fp32 or bf16); targets_N int64; weights_N fp32. Differentiable in hidden and,
// when it requires grad, in head. Chunks have a fixed size, so the result is a pure function of the inputs.
// `logit_cap` as in ModelConfig.
LinearCrossEntropy ComputeLinearCrossEntropy(const at::Tensor& hidden_ND, const at::Tensor& head_VD,
                                             const at::Tensor& targets_N, const at::Tensor& weights_N,
                                             double logit_cap = 0.0);

}  // namespace vernier::objectives
