#include "worker/models/common/activation.h"

#include "worker/models/common/dispatch.h"
#include "worker/models/common/kernels.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

c10::string_view Approximation(Activation activation) {
  return activation == Activation::kGeluTanh ? "tanh" : "none";
}

// Loops of our own where there are some; rows may have gaps, numbers of a row may not.
bool IsOwn(Activation activation, const at::Tensor& gate, const at::Tensor& up) {
  return activation == Activation::kSilu && gate.dim() == 2 && gate.stride(1) == 1 && up.stride(1) == 1;
}

kernels::GateShape ShapeOf(const at::Tensor& gate, const at::Tensor& up) {
  return {gate.size(0), gate.size(1), gate.stride(0), up.stride(0)};
}

at::Tensor Forward(Activation activation, const at::Tensor& gate, const at::Tensor& up) {
  if (!IsOwn(activation, gate, up)) return Activate(activation, gate).mul_(up);
  at::Tensor y = at::empty(gate.sizes(), gate.options());
  ForElementType(gate, [&](auto element) {
    using T = decltype(element);
    kernels::SiluGate<T>(ShapeOf(gate, up), gate.const_data_ptr<T>(), up.const_data_ptr<T>(),
                         y.mutable_data_ptr<T>());
  });
  return y;
}

struct Gradients {
  at::Tensor gate, up;
};

Gradients Backward(Activation activation, const at::Tensor& grad, const at::Tensor& gate,
                   const at::Tensor& up) {
  if (activation != Activation::kSilu) {
    return {at::gelu_backward(grad * up, gate, Approximation(activation)),
            Activate(activation, gate).mul_(grad)};
  }
  if (!IsOwn(activation, gate, up)) {
    return {at::silu_backward(grad * up, gate), Activate(activation, gate).mul_(grad)};
  }
  const at::Tensor grad_y = grad.contiguous();
  Gradients gradients{at::empty(gate.sizes(), gate.options()), at::empty(gate.sizes(), gate.options())};
  ForElementType(gate, [&](auto element) {
    using T = decltype(element);
    kernels::SiluGateBackward<T>(ShapeOf(gate, up), grad_y.const_data_ptr<T>(), gate.const_data_ptr<T>(),
                                 up.const_data_ptr<T>(), gradients.gate.mutable_data_ptr<T>(),
                                 gradients.up.mutable_data_ptr<T>());
  });
  return gradients;
}

class ActivationFunction final : public torch::autograd::Function<ActivationFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate, const at::Tensor& up,
                            int64_t activation) {
    context->save_for_backward({gate, up});
    context->saved_data["activation"] = activation;
    return Forward(static_cast<Activation>(activation), gate, up);
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    RefuseSecondDerivative("the fused activation");
    const auto saved = context->get_saved_variables();
    const Gradients gradients = Backward(static_cast<Activation>(context->saved_data["activation"].toInt()),
                                         grads[0], saved[0], saved[1]);
    return {gradients.gate, gradients.up, at::Tensor()};
  }
};

}  // namespace

at::Tensor Activate(Activation activation, const at::Tensor& x) {
  return activation == Activation::kSilu ? at::silu(x) : at::gelu(x, Approximation(activation));
}

at::Tensor Gated(Activation activation, const at::Tensor& gate, const at::Tensor& up) {
  if (at::GradMode::is_enabled() && (gate.requires_grad() || up.requires_grad()))
    return ActivationFunction::apply(gate, up, static_cast<int64_t>(activation));
  return Forward(activation, gate, up);
}

}  // namespace vernier::models
