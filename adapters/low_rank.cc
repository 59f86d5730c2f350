#include "adapters/low_rank.h"

#include <utility>

#include "adapters/thin_products.h"
#include "common/check.h"
#include "worker/models/torch.h"

namespace vernier::adapters {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// What is no differentiable input; in a struct, so that autograd does not take its tensors for some.
struct Constants {
  const std::vector<at::Tensor>& bases_TO;
  const std::vector<LowRankTerm>& terms;
  const DropoutMask& mask;
};

ThinProducts ProductsOf(const at::Tensor& x_TI, const std::vector<at::Tensor>& b_OR) {
  std::vector<int64_t> ranks, widths = {x_TI.size(1)};
  for (const at::Tensor& b : b_OR) {
    ranks.push_back(b.size(1));
    widths.push_back(b.size(0));
  }
  return ThinProducts(x_TI.scalar_type(), std::move(ranks), widths);
}

class Function final : public torch::autograd::Function<Function> {
 public:
  // `factors`: A and B of each term.
  static tensor_list forward(AutogradContext* context, const at::Tensor& x_TI, at::TensorList factors,
                             const Constants& constants) {
    std::vector<at::Tensor> b_OR;
    std::vector<ThinFactor> a_RI;
    std::vector<double> scales;
    std::vector<int64_t> is_io;
    tensor_list saved = {x_TI};
    for (size_t i = 0; i < constants.terms.size(); ++i) {
      const LowRankTerm& term = constants.terms[i];
      scales.push_back(term.scale * constants.mask.scale);
      is_io.push_back(term.weight_is_io);
      a_RI.push_back({factors[2 * i], scales.back()});
      b_OR.push_back(factors[2 * i + 1]);
    }
    const ThinProducts products = ProductsOf(x_TI, b_OR);
    at::Tensor h_TP = products.Empty(x_TI.size(0));
    products.ProjectAll(constants.mask.Apply(x_TI), a_RI, h_TP);
    saved.push_back(h_TP);
    tensor_list outputs = constants.bases_TO;
    for (size_t i = 0; i < outputs.size(); ++i) {
      products.AddTurned(static_cast<int64_t>(i), h_TP, b_OR[i], outputs[i]);
      saved.insert(saved.end(), {constants.terms[i].weight, factors[2 * i], factors[2 * i + 1]});
    }
    context->save_for_backward(std::move(saved));
    context->saved_data["weight_is_io"] = std::move(is_io);
    context->saved_data["scales"] = std::move(scales);
    context->saved_data["keep_bits"] = constants.mask.keep_bits;
    return outputs;
  }

  static tensor_list backward(AutogradContext* context, tensor_list grads) {
    models::RefuseSecondDerivative("the low-rank layer");
    const tensor_list saved = context->get_saved_variables();
    const at::Tensor &x_TI = saved[0], &h_TP = saved[1];
    const std::vector<int64_t> is_io = context->saved_data["weight_is_io"].toIntVector();
    const std::vector<double> scales = context->saved_data["scales"].toDoubleVector();
    DropoutMask mask;
    mask.keep_bits = context->saved_data["keep_bits"].toTensor();
    std::vector<at::Tensor> weight, a_RI, b_OR;
    for (size_t i = 0; i < grads.size(); ++i) {
      weight.push_back(is_io[i] ? saved[2 + 3 * i].t() : saved[2 + 3 * i]);
      a_RI.push_back(saved[3 + 3 * i]);
      b_OR.push_back(saved[4 + 3 * i]);
    }

    const ThinProducts products = ProductsOf(x_TI, b_OR);
    at::Tensor grad_h_TP = products.Empty(x_TI.size(0));
    tensor_list result(1 + 2 * grads.size() + 1);
    for (size_t i = 0; i < grads.size(); ++i) {
      const auto term = static_cast<int64_t>(i);
      products.ProjectTurned(term, grads[i], {b_OR[i], scales[i]}, grad_h_TP);
      if (context->needs_input_grad(2 + 2 * i)) {
        result[2 + 2 * i] = products.GradientOfTurned(term, h_TP, grads[i]);
      }
    }
    if (context->needs_input_grad(1)) {
      std::vector<at::Tensor> grads_a = products.GradientsOfAll(grad_h_TP, mask.Apply(x_TI));
      for (size_t i = 0; i < grads.size(); ++i) result[1 + 2 * i] = std::move(grads_a[i]);
    }
    // Not asked for where x comes from a frozen embedding.
    if (context->needs_input_grad(0)) {
      at::Tensor grad_x = at::mm(grads[0], weight[0]);
      for (size_t i = 1; i < grads.size(); ++i) grad_x.addmm_(grads[i], weight[i]);
      if (mask.keep_bits.defined()) {
        at::Tensor through_a = at::zeros_like(grad_x);
        products.AddAll(grad_h_TP, a_RI, through_a);
        grad_x.add_(mask.Apply(through_a));
      } else {
        products.AddAll(grad_h_TP, a_RI, grad_x);
      }
      result[0] = std::move(grad_x);
    }
    return result;
  }
};

}  // namespace

std::vector<at::Tensor> AddLowRank(std::vector<at::Tensor> bases_TO, const at::Tensor& x_TI,
                                   const std::vector<LowRankTerm>& terms, const DropoutMask& mask) {
  VN_CHECK(bases_TO.size() == terms.size() && (terms.size() == 1 || !mask.keep_bits.defined()));
  std::vector<at::Tensor> factors;
  for (const LowRankTerm& term : terms) factors.insert(factors.end(), {term.a_RI, term.b_OR});
  return Function::apply(x_TI, at::TensorList(factors), Constants{bases_TO, terms, mask});
}

}  // namespace vernier::adapters
