#include "worker/models/common/checkpointed_block.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <utility>

#include "worker/models/torch.h"

namespace vernier::models {
namespace {

using torch::autograd::variable_list;

// Stands for the whole block in the graph.
class Recompute final : public torch::autograd::Node {
 public:
  Recompute(const at::Tensor& x, BlockFn block)
      : x_(x, /*is_output=*/false), x_requires_grad_(x.requires_grad()), block_(std::move(block)) {
    set_next_edges(torch::autograd::collect_next_edges(x));
  }

  variable_list apply(variable_list&& grads) override {
    if (!grads[0].defined()) return {at::Tensor()};
    const at::AutoGradMode differentiable(true);
    // A leaf of a graph of its own, so that the inner pass ends here; the parameters are leaves of both, and
    // the inner pass adds to their gradients itself.
    const at::Tensor x = x_.unpack().detach().set_requires_grad(x_requires_grad_);
    const at::Tensor y = block_(x);
    torch::autograd::backward({y}, {std::move(grads[0])});
    return {x.grad()};
  }

  void release_variables() override { x_.reset_data(); }

 private:
  torch::autograd::SavedVariable x_;
  const bool x_requires_grad_;
  const BlockFn block_;
};

}  // namespace

at::Tensor CheckpointedBlock(const at::Tensor& x, BlockFn block) {
  at::Tensor y = block(x);
  if (!y.requires_grad()) return y;
  // The values alone: the graph of the first computation, and all it kept, goes with y.
  at::Tensor values = y.variable_data();
  torch::autograd::create_gradient_edge(values, c10::make_intrusive<Recompute>(x, std::move(block)));
  return values;
}

}  // namespace vernier::models
