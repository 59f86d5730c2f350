#include "worker/models/common/rms_norm.h"

#include "worker/models/common/dispatch.h"
#include "worker/models/common/kernels.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

kernels::RmsNormShape ShapeOf(const at::Tensor& x_TD, double epsilon) {
  return {epsilon, x_TD.size(0), x_TD.size(1)};
}

template <typename T>
const T* DataOrNull(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<T>() : nullptr;
}

NormedSum Forward(const at::Tensor& x_TD, const at::Tensor& delta_TD, const at::Tensor& weight_D,
                  double epsilon, float* rstd_T) {
  NormedSum out{delta_TD.defined() ? at::empty_like(x_TD) : x_TD, at::empty_like(x_TD)};
  ForElementType(x_TD, [&](auto element) {
    using T = decltype(element);
    kernels::AddRmsNorm<T>(ShapeOf(x_TD, epsilon), x_TD.const_data_ptr<T>(), DataOrNull<T>(delta_TD),
                           weight_D.const_data_ptr<float>(),
                           delta_TD.defined() ? out.sum_TD.mutable_data_ptr<T>() : nullptr,
                           out.normed_TD.mutable_data_ptr<T>(), rstd_T);
  });
  return out;
}

struct Gradients {
  at::Tensor x, weight;
};

// `grad_sum` is added to the gradient to x; undefined: nothing is.
Gradients Backward(const at::Tensor& grad_y, const at::Tensor& grad_sum, const at::Tensor& x_TD,
                   const at::Tensor& weight_D, const at::Tensor& rstd_T, bool want_x, bool want_weight) {
  const at::Tensor grad_y_TD = grad_y.contiguous();
  const at::Tensor grad_sum_TD = grad_sum.defined() ? grad_sum.contiguous() : grad_sum;
  Gradients gradients;
  ForElementType(x_TD, [&](auto element) {
    using T = decltype(element);
    const T* const x = x_TD.const_data_ptr<T>();
    const float* const rstd = rstd_T.const_data_ptr<float>();
    const kernels::RmsNormShape shape = ShapeOf(x_TD, /*epsilon=*/0.0);
    if (want_x) {
      gradients.x = at::empty_like(x_TD);
      kernels::RmsNormBackwardInput<T>(shape, grad_y_TD.const_data_ptr<T>(), DataOrNull<T>(grad_sum_TD), x,
                                       weight_D.const_data_ptr<float>(), rstd,
                                       gradients.x.mutable_data_ptr<T>());
    }
    if (want_weight) {
      gradients.weight = at::empty_like(weight_D);
      kernels::RmsNormBackwardWeight<T>(shape, grad_y_TD.const_data_ptr<T>(), x, rstd,
                                        gradients.weight.mutable_data_ptr<float>());
    }
  });
  return gradients;
}

class NormFunction final : public torch::autograd::Function<NormFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_TD, const at::Tensor& weight_D,
                            double epsilon) {
    at::Tensor rstd_T = at::empty({x_TD.size(0)}, weight_D.options());
    at::Tensor y_TD = Forward(x_TD, {}, weight_D, epsilon, rstd_T.mutable_data_ptr<float>()).normed_TD;
    context->save_for_backward({x_TD, weight_D, rstd_T});
    return y_TD;
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    RefuseSecondDerivative("the fused RMS norm");
    const auto saved = context->get_saved_variables();
    const Gradients gradients = Backward(grads[0], {}, saved[0], saved[1], saved[2],
                                         context->needs_input_grad(0), context->needs_input_grad(1));
    return {gradients.x, gradients.weight, at::Tensor()};
  }
};

class SumFunction final : public torch::autograd::Function<SumFunction> {
 public:
  // `parts` of the sum: x, and delta where there is one, because autograd takes no undefined input. Without
  // it the stream itself is the first result.
  static tensor_list forward(AutogradContext* context, at::TensorList parts, const at::Tensor& weight_D,
                             double epsilon) {
    at::Tensor rstd_T = at::empty({parts[0].size(0)}, weight_D.options());
    NormedSum out = Forward(parts[0], parts.size() > 1 ? parts[1] : at::Tensor(), weight_D, epsilon,
                            rstd_T.mutable_data_ptr<float>());
    context->save_for_backward({out.sum_TD, weight_D, rstd_T});
    context->saved_data["num_parts"] = static_cast<int64_t>(parts.size());
    context->set_materialize_grads(false);
    return {out.sum_TD, out.normed_TD};
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    RefuseSecondDerivative("the fused RMS norm");
    const auto saved = context->get_saved_variables();
    const size_t num_parts = static_cast<size_t>(context->saved_data["num_parts"].toInt());
    bool want_x = false;
    for (size_t i = 0; i < num_parts; ++i) want_x = want_x || context->needs_input_grad(i);
    Gradients gradients{grads[0], {}};
    if (grads[1].defined()) {
      gradients = Backward(grads[1], grads[0], saved[0], saved[1], saved[2], want_x,
                           context->needs_input_grad(num_parts));
    }
    tensor_list out(num_parts, gradients.x);
    out.insert(out.end(), {gradients.weight, at::Tensor()});
    return out;
  }
};

bool Differentiable(const at::Tensor& tensor) {
  return at::GradMode::is_enabled() && tensor.defined() && tensor.requires_grad();
}

}  // namespace

at::Tensor RmsNorm(const at::Tensor& x_TD, const at::Tensor& weight_D, double epsilon) {
  const at::Tensor x = x_TD.contiguous();
  const at::Tensor weight = weight_D.contiguous();
  if (Differentiable(x) || Differentiable(weight)) return NormFunction::apply(x, weight, epsilon);
  return Forward(x, {}, weight, epsilon, nullptr).normed_TD;
}

NormedSum AddRmsNorm(const at::Tensor& x_TD, const at::Tensor& delta_TD, const at::Tensor& weight_D,
                     double epsilon) {
  const at::Tensor x = x_TD.contiguous();
  const at::Tensor delta = delta_TD.defined() ? delta_TD.contiguous() : delta_TD;
  const at::Tensor weight = weight_D.contiguous();
  if (Differentiable(x) || Differentiable(delta) || Differentiable(weight)) {
    const tensor_list parts = delta.defined() ? tensor_list{x, delta} : tensor_list{x};
    const tensor_list out = SumFunction::apply(at::TensorList(parts), weight, epsilon);
    return {out[0], out[1]};
  }
  return Forward(x, delta, weight, epsilon, nullptr);
}

}  // namespace vernier::models
