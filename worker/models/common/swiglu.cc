#include "worker/models/common/swiglu.h"

#include <torch/torch.h>

namespace vernier::models {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

at::Tensor Forward(const at::Tensor& gate, const at::Tensor& up) { return at::silu(gate).mul_(up); }

class Function final : public torch::autograd::Function<Function> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate, const at::Tensor& up) {
    context->save_for_backward({gate, up});
    return Forward(gate, up);
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1];
    return {at::silu_backward(grads[0] * up, gate), at::silu(gate).mul_(grads[0])};
  }
};

}  // namespace

at::Tensor SwiGlu(const at::Tensor& gate, const at::Tensor& up) {
  if (at::GradMode::is_enabled() && (gate.requires_grad() || up.requires_grad()))
    return Function::apply(gate, up);
  return Forward(gate, up);
}

}  // namespace vernier::models
