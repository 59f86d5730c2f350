#include "worker/models/model.h"

#include <torch/torch.h>

namespace vernier::models {

at::Tensor Overlay::Linear(const LinearSite& site, const at::Tensor& x_TI, const at::Tensor& weight,
                           const at::Tensor& bias, const TokenBatch&) const {
  // Biases are kept in fp32; matrix products take one dtype.
  const at::Tensor bias_O = bias.defined() ? bias.to(x_TI.scalar_type()) : bias;
  if (!site.weight_is_io) return at::linear(x_TI, weight, bias_O);
  return bias_O.defined() ? at::addmm(bias_O, x_TI, weight) : at::mm(x_TI, weight);
}

}  // namespace vernier::models
