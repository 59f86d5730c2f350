#include "worker/objectives/linear_cross_entropy.h"

#include <algorithm>

#include "worker/models/common/dispatch.h"
#include "worker/models/common/kernels.h"
#include "worker/models/torch.h"

namespace vernier::objectives {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// 256 rows of logits at V = 49,152 are 25 MB in bf16: near the last-level cache's size, far below [T, V].
constexpr int64_t kChunk = 256;

class Function final : public torch::autograd::Function<Function> {
 public:
  static tensor_list forward(AutogradContext* context, const at::Tensor& hidden_ND, const at::Tensor& head_VD,
                             const at::Tensor& targets_N, const at::Tensor& weights_N, double logit_cap,
                             bool want_gradient) {
    const int64_t n = hidden_ND.size(0);
    const auto fp32 = hidden_ND.options().dtype(at::kFloat);
    at::Tensor nll = at::empty({n}, fp32);
    at::Tensor correct = at::empty({n}, fp32.dtype(at::kBool));
    const at::Tensor targets = targets_N.contiguous(), weights = weights_N.contiguous();
    TORCH_CHECK(
        n == 0 || (targets.min().item<int64_t>() >= 0 && targets.max().item<int64_t>() < head_VD.size(0)),
        "a target is outside the vocabulary of ", head_VD.size(0));
    const bool want_hidden = want_gradient && hidden_ND.requires_grad();
    const bool want_head = want_gradient && head_VD.requires_grad();
    at::Tensor grad_hidden = want_hidden ? at::empty_like(hidden_ND) : at::Tensor();
    at::Tensor grad_head = want_head ? at::zeros(head_VD.sizes(), fp32) : at::Tensor();
    for (int64_t begin = 0; begin < n; begin += kChunk) {
      const int64_t size = std::min(kChunk, n - begin);
      const at::Tensor hidden = hidden_ND.narrow(0, begin, size);
      // Becomes d loss / d logits where a gradient is wanted.
      at::Tensor logits = at::linear(hidden, head_VD);
      models::ForElementType(logits, [&](auto element) {
        using T = decltype(element);
        models::kernels::CrossEntropy<T>(
            {.num_targets = size,
             .vocabulary = head_VD.size(0),
             .cap = static_cast<float>(logit_cap),
             .want_gradient = want_hidden || want_head},
            logits.mutable_data_ptr<T>(), targets.const_data_ptr<int64_t>() + begin,
            weights.const_data_ptr<float>() + begin, nll.mutable_data_ptr<float>() + begin,
            correct.mutable_data_ptr<bool>() + begin);
      });
      if (want_hidden) {
        at::Tensor chunk = grad_hidden.narrow(0, begin, size);
        at::mm_out(chunk, logits, head_VD);
      }
      if (want_head) grad_head.add_(at::matmul(logits.t(), hidden).to(at::kFloat));
    }
    context->saved_data["grad_hidden"] = grad_hidden;
    context->saved_data["grad_head"] = want_head ? grad_head.to(head_VD.scalar_type()) : at::Tensor();
    context->mark_non_differentiable({nll, correct});
    // In index order and in double: at::sum's order depends on the number of threads.
    const at::Tensor weighted = nll * weights;
    double loss = 0.0;
    for (int64_t i = 0; i < n; ++i) loss += weighted.const_data_ptr<float>()[i];
    return {at::full({}, loss, fp32), nll, correct};
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    models::RefuseSecondDerivative("the chunked cross-entropy");
    const auto scaled = [&](const char* name) {
      const c10::IValue& saved = context->saved_data[name];
      if (!saved.isTensor() || !saved.toTensor().defined()) return at::Tensor();
      at::Tensor tensor = saved.toTensor();
      return tensor.mul_(grads[0].to(tensor.scalar_type()));
    };
    return {scaled("grad_hidden"), scaled("grad_head"), {}, {}, {}, {}};
  }
};

}  // namespace

LinearCrossEntropy ComputeLinearCrossEntropy(const at::Tensor& hidden_ND, const at::Tensor& head_VD,
                                             const at::Tensor& targets_N, const at::Tensor& weights_N,
                                             double logit_cap) {
  const tensor_list out =
      Function::apply(hidden_ND, head_VD, targets_N, weights_N, logit_cap, at::GradMode::is_enabled());
  return {out[0], out[1], out[2]};
}

}  // namespace vernier::objectives
