#include "worker/objectives/linear_cross_entropy.h"

#include <algorithm>

#include "worker/models/torch.h"

namespace vernier::objectives {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// 256 rows of fp32 logits at V = 49,152 are 50 MB: near the last-level cache's size, far below [T, V].
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
    const bool want_hidden = want_gradient && hidden_ND.requires_grad();
    const bool want_head = want_gradient && head_VD.requires_grad();
    at::Tensor grad_hidden = want_hidden ? at::empty_like(hidden_ND) : at::Tensor();
    at::Tensor grad_head = want_head ? at::zeros(head_VD.sizes(), fp32) : at::Tensor();
    for (int64_t begin = 0; begin < n; begin += kChunk) {
      const int64_t size = std::min(kChunk, n - begin);
      const at::Tensor hidden = hidden_ND.narrow(0, begin, size);
      const at::Tensor targets = targets_N.narrow(0, begin, size).unsqueeze(1);
      at::Tensor logits = at::linear(hidden, head_VD).to(at::kFloat);
      at::Tensor slope;  // d capped / d logit
      if (logit_cap > 0.0) {
        logits.div_(logit_cap).tanh_();
        if (want_hidden || want_head) slope = logits.square().neg_().add_(1.0);
        logits.mul_(logit_cap);
      }
      const at::Tensor log_sum = at::logsumexp(logits, 1, /*keepdim=*/true);
      nll.narrow(0, begin, size).copy_((log_sum - logits.gather(1, targets)).squeeze(1));
      correct.narrow(0, begin, size).copy_(logits.argmax(1, /*keepdim=*/true).eq(targets).squeeze(1));
      if (!want_hidden && !want_head) continue;
      // d loss / d logits = weight * (softmax - one-hot), written over the logits.
      const at::Tensor weights = weights_N.narrow(0, begin, size).unsqueeze(1);
      logits.sub_(log_sum).exp_();
      logits.scatter_add_(1, targets, at::full_like(log_sum, -1.0));
      logits.mul_(weights);
      if (slope.defined()) logits.mul_(slope);
      const at::Tensor grad_logits = logits.to(hidden.scalar_type());
      if (want_hidden) grad_hidden.narrow(0, begin, size).copy_(at::matmul(grad_logits, head_VD));
      if (want_head) grad_head.add_(at::matmul(grad_logits.t(), hidden).to(at::kFloat));
    }
    context->saved_data["grad_hidden"] = grad_hidden;
    context->saved_data["grad_head"] = want_head ? grad_head.to(head_VD.scalar_type()) : at::Tensor();
    context->mark_non_differentiable({nll, correct});
    // In index order and in double: at::sum's order depends on the number of threads.
    const at::Tensor weighted = (nll * weights_N).contiguous();
    double loss = 0.0;
    for (int64_t i = 0; i < n; ++i) loss += weighted.const_data_ptr<float>()[i];
    return {at::full({}, loss, fp32), nll, correct};
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
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
