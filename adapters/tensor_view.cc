#include "adapters/tensor_view.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "worker/models/torch.h"

namespace vernier::adapters {
namespace {

absl::StatusOr<at::ScalarType> FloatType(const storage::TensorView& view) {
  switch (view.dtype) {
    case storage::Dtype::kF64:
      return at::kDouble;
    case storage::Dtype::kF32:
      return at::kFloat;
    case storage::Dtype::kF16:
      return at::kHalf;
    case storage::Dtype::kBF16:
      return at::kBFloat16;
    default:
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor \"", view.name, "\" is ", storage::DtypeName(view.dtype), "; save it as F32, F16 or BF16"));
  }
}

}  // namespace

absl::StatusOr<at::Tensor> ToFloatTensor(const storage::TensorView& view) {
  const absl::StatusOr<at::ScalarType> type = FloatType(view);
  if (!type.ok()) return type.status();
  // Copied: the bytes may lie unaligned and belong to somebody else.
  at::Tensor tensor = at::empty(view.shape, at::TensorOptions().dtype(*type));
  if (!view.bytes.empty()) std::memcpy(tensor.data_ptr(), view.bytes.data(), view.bytes.size());
  return tensor.to(at::kFloat);
}

}  // namespace vernier::adapters
