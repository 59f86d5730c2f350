// silu(gate) * up, the gate of llama's feed-forward. Saves gate and up, and makes silu(gate) again in
// backward. Source     arXiv:2002.05202.
#pragma once

#include <ATen/core/Tensor.h>

namespace vernier::models {

at::Tensor SwiGlu(const at::Tensor& gate, const at::Tensor& up);

}  // namespace vernier::models
