#include "adapters/low_rank.h"

#include <utility>

#include "worker/models/torch.h"

namespace vernier::adapters {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// What is no differentiable input; in a struct, so that autograd does not take its tensors for some.
struct Constants {
  at::Tensor base_TO;
  at::Tensor weight;
  bool weight_is_io = false;
  double scale = 1.0;  // the term's and the mask's
  DropoutMask mask;
};

class Function final : public torch::autograd::Function<Function> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x_TI, const at::Tensor& a_RI,
                            const at::Tensor& b_OR, const Constants& constants) {
    const auto dtype = x_TI.scalar_type();
    const at::Tensor h_TR = at::matmul(constants.mask.Apply(x_TI), a_RI.to(dtype).t()).mul_(constants.scale);
    at::Tensor y_TO = constants.base_TO;
    y_TO.addmm_(h_TR, b_OR.to(dtype).t());
    context->save_for_backward({x_TI, a_RI, b_OR, h_TR, constants.weight});
    context->saved_data["weight_is_io"] = constants.weight_is_io;
    context->saved_data["scale"] = constants.scale;
    context->saved_data["keep_bits"] = constants.mask.keep_bits;
    return y_TO;
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    const tensor_list saved = context->get_saved_variables();
    const at::Tensor &x_TI = saved[0], &a_RI = saved[1], &b_OR = saved[2], &h_TR = saved[3],
                     &weight = saved[4];
    const at::Tensor& grad_TO = grads[0];
    const auto dtype = x_TI.scalar_type();
    DropoutMask mask;
    mask.keep_bits = context->saved_data["keep_bits"].toTensor();

    const at::Tensor grad_h_TR =
        at::matmul(grad_TO, b_OR.to(dtype)).mul_(context->saved_data["scale"].toDouble());
    at::Tensor grad_x, grad_a, grad_b;
    if (context->needs_input_grad(1)) grad_a = at::matmul(grad_h_TR.t(), mask.Apply(x_TI)).to(at::kFloat);
    if (context->needs_input_grad(2)) grad_b = at::matmul(grad_TO.t(), h_TR).to(at::kFloat);
    // Not asked for where x comes from a frozen embedding.
    if (context->needs_input_grad(0)) {
      const bool weight_is_io = context->saved_data["weight_is_io"].toBool();
      grad_x = at::matmul(grad_TO, weight_is_io ? weight.t() : weight);
      const at::Tensor a = a_RI.to(dtype);
      if (mask.keep_bits.defined()) {
        grad_x.add_(mask.Apply(at::matmul(grad_h_TR, a)));
      } else {
        grad_x.addmm_(grad_h_TR, a);
      }
    }
    return {grad_x, grad_a, grad_b, {}};
  }
};

}  // namespace

at::Tensor AddLowRank(at::Tensor base_TO, const at::Tensor& x_TI, const at::Tensor& weight, bool weight_is_io,
                      const LowRankTerm& term) {
  return Function::apply(
      x_TI, term.a_RI, term.b_OR,
      Constants{std::move(base_TO), weight, weight_is_io, term.scale * term.mask.scale, term.mask});
}

}  // namespace vernier::adapters
