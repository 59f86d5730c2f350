// Tensors in files as tensors in memory.
#pragma once

#include <ATen/core/Tensor.h>

#include "absl/status/statusor.h"
#include "storage/safetensors.h"

namespace vernier::adapters {

// A copy of the view's values as fp32, contiguous. InvalidArgument: not F64, F32, F16 or BF16; names the
// tensor.
absl::StatusOr<at::Tensor> ToFloatTensor(const storage::TensorView& view);

}  // namespace vernier::adapters
