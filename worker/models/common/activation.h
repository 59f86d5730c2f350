// Activations of feed-forwards, plain and gated.
#pragma once

#include <ATen/core/Tensor.h>

namespace vernier::models {

enum class Activation { kSilu, kGelu, kGeluTanh };

at::Tensor Activate(Activation activation, const at::Tensor& x);

// activation(gate) * up. Saves gate and up, and makes activation(gate) again in backward.
// Source     arXiv:2002.05202.
at::Tensor Gated(Activation activation, const at::Tensor& gate, const at::Tensor& up);

}  // namespace vernier::models
