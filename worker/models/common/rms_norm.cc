#include "worker/models/common/rms_norm.h"

#include "worker/models/common/dispatch.h"
#include "worker/models/common/kernels.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

at::Tensor Forward(const at::Tensor& x_TD, const at::Tensor& weight_D, double epsilon, float* rstd_T) {
  at::Tensor y_TD = at::empty_like(x_TD);
  ForElementType(x_TD, [&](auto element) {
    using T = decltype(element);
    kernels::RmsNormForward<T>(x_TD.const_data_ptr<T>(), weight_D.const_data_ptr<float>(), epsilon,
                               x_TD.size(0), x_TD.size(1), y_TD.mutable_data_ptr<T>(), rstd_T);
  });
  return y_TD;
}

class Function final : public torch::autograd::Function<Function> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_TD, const at::Tensor& weight_D,
                            double epsilon) {
    at::Tensor rstd_T = at::empty({x_TD.size(0)}, weight_D.options());
    at::Tensor y_TD = Forward(x_TD, weight_D, epsilon, rstd_T.mutable_data_ptr<float>());
    context->save_for_backward({x_TD, weight_D, rstd_T});
    return y_TD;
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x_TD = saved[0], &weight_D = saved[1], &rstd_T = saved[2];
    const at::Tensor grad_y_TD = grads[0].contiguous();
    at::Tensor grad_x, grad_weight;
    ForElementType(x_TD, [&](auto element) {
      using T = decltype(element);
      const T* const grad_y = grad_y_TD.const_data_ptr<T>();
      const T* const x = x_TD.const_data_ptr<T>();
      const float* const rstd = rstd_T.const_data_ptr<float>();
      if (context->needs_input_grad(0)) {
        grad_x = at::empty_like(x_TD);
        kernels::RmsNormBackwardInput<T>(grad_y, x, weight_D.const_data_ptr<float>(), rstd, x_TD.size(0),
                                         x_TD.size(1), grad_x.mutable_data_ptr<T>());
      }
      if (context->needs_input_grad(1)) {
        grad_weight = at::empty_like(weight_D);
        kernels::RmsNormBackwardWeight<T>(grad_y, x, rstd, x_TD.size(0), x_TD.size(1),
                                          grad_weight.mutable_data_ptr<float>());
      }
    });
    return {grad_x, grad_weight, at::Tensor()};
  }
};

}  // namespace

at::Tensor RmsNorm(const at::Tensor& x_TD, const at::Tensor& weight_D, double epsilon) {
  const at::Tensor x = x_TD.contiguous();
  const at::Tensor weight = weight_D.contiguous();
  if (at::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad())) {
    return Function::apply(x, weight, epsilon);
  }
  return Forward(x, weight, epsilon, nullptr);
}

}  // namespace vernier::models
