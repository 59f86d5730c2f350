// The parts of LibTorch that we compile against: tensors and their operations, own autograd functions,
// factories with nested lists. Whatever needs more than <ATen/core/Tensor.h> includes this instead of
// <torch/torch.h>: modules, optimisers and data loaders, which we do not use, double the time to compile a
// file even from the precompiled header (6 against 12 CPU-seconds), of which this is the only one.
#pragma once

#include <ATen/ATen.h>                                         // IWYU pragma: export
#include <torch/csrc/autograd/custom_function.h>               // IWYU pragma: export
#include <torch/csrc/autograd/generated/variable_factories.h>  // IWYU pragma: export

namespace vernier::models {

// Our backward passes write numbers, not graphs: each begins with this. Throws c10::Error where a gradient of
// the gradient is wanted, which would else be silently zero.
inline void RefuseSecondDerivative(const char* layer) {
  TORCH_CHECK(!at::GradMode::is_enabled(), layer, " is differentiable once");
}

}  // namespace vernier::models
