#include "worker/models/common/activation.h"

#include "worker/models/torch.h"

namespace vernier::models {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

c10::string_view Approximation(Activation activation) {
  return activation == Activation::kGeluTanh ? "tanh" : "none";
}

// The gradient to x from that of activation(x).
at::Tensor Backward(Activation activation, const at::Tensor& grad, const at::Tensor& x) {
  if (activation == Activation::kSilu) return at::silu_backward(grad, x);
  return at::gelu_backward(grad, x, Approximation(activation));
}

at::Tensor Forward(Activation activation, const at::Tensor& gate, const at::Tensor& up) {
  return Activate(activation, gate).mul_(up);
}

class Function final : public torch::autograd::Function<Function> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate, const at::Tensor& up,
                            int64_t activation) {
    context->save_for_backward({gate, up});
    context->saved_data["activation"] = activation;
    return Forward(static_cast<Activation>(activation), gate, up);
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1];
    const auto activation = static_cast<Activation>(context->saved_data["activation"].toInt());
    return {Backward(activation, grads[0] * up, gate), Activate(activation, gate).mul_(grads[0]),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor Activate(Activation activation, const at::Tensor& x) {
  return activation == Activation::kSilu ? at::silu(x) : at::gelu(x, Approximation(activation));
}

at::Tensor Gated(Activation activation, const at::Tensor& gate, const at::Tensor& up) {
  if (at::GradMode::is_enabled() && (gate.requires_grad() || up.requires_grad()))
    return Function::apply(gate, up, static_cast<int64_t>(activation));
  return Forward(activation, gate, up);
}

}  // namespace vernier::models
