// Runs code for the element type of a tensor: fp32 or bf16, the two compute dtypes.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Exception.h>

namespace vernier::models {

// body(T{}) with T the element type. Throws c10::Error for any other dtype.
template <typename Body>
void ForElementType(const at::Tensor& tensor, const Body& body) {
  if (tensor.scalar_type() == at::kBFloat16) {
    body(c10::BFloat16{});
  } else {
    TORCH_CHECK(tensor.scalar_type() == at::kFloat, "expected fp32 or bf16, got ", tensor.scalar_type());
    body(float{});
  }
}

}  // namespace vernier::models
