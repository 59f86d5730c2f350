#include "worker/models/model.h"

#include "worker/models/torch.h"

namespace vernier::models {

at::Tensor Overlay::Linear(const LinearSite& site, const at::Tensor& x_TI, const at::Tensor& weight,
                           const at::Tensor& bias, const TokenBatch&) const {
  // Biases are kept in fp32; matrix products take one dtype.
  const at::Tensor bias_O = bias.defined() ? bias.to(x_TI.scalar_type()) : bias;
  if (!site.weight_is_io) return at::linear(x_TI, weight, bias_O);
  return bias_O.defined() ? at::addmm(bias_O, x_TI, weight) : at::mm(x_TI, weight);
}

std::vector<at::Tensor> Overlay::LinearGroup(const std::vector<LinearUse>& uses, const at::Tensor& x_TI,
                                             const TokenBatch& batch) const {
  std::vector<at::Tensor> outputs;
  for (const LinearUse& use : uses) outputs.push_back(Linear(use.site, x_TI, use.weight, use.bias, batch));
  return outputs;
}

at::Tensor CausalLm::Logits(const at::Tensor& hidden_ND, const at::Tensor& head_VD) const {
  const at::Tensor logits_NV = at::linear(hidden_ND, head_VD).to(at::kFloat);
  if (config_.logit_cap == 0.0) return logits_NV;
  return (logits_NV / config_.logit_cap).tanh() * config_.logit_cap;
}

}  // namespace vernier::models
