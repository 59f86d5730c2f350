#include "worker/stages/exported_files.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "storage/safetensors.h"
#include "worker/models/torch.h"

namespace vernier::stages {
namespace {

absl::StatusOr<storage::Dtype> DtypeOf(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return storage::Dtype::kF32;
    case at::kBFloat16:
      return storage::Dtype::kBF16;
    case at::kHalf:
      return storage::Dtype::kF16;
    default:
      return absl::InternalError(
          absl::StrCat("a tensor to publish has type ", c10::toString(tensor.scalar_type())));
  }
}

// Views of the tensors; valid while `exported` lives.
absl::StatusOr<std::vector<storage::TensorView>> ViewsOf(const adapters::Exported& exported) {
  std::vector<storage::TensorView> views;
  for (const auto& [name, tensor] : exported.tensors) {
    storage::TensorView view;
    view.name = name;
    view.shape = tensor.sizes().vec();
    VN_ASSIGN_OR_RETURN(view.dtype, DtypeOf(tensor));
    view.bytes = {static_cast<const char*>(tensor.const_data_ptr()), static_cast<size_t>(tensor.nbytes())};
    views.push_back(std::move(view));
  }
  return views;
}

}  // namespace

absl::Status AddExported(ArtifactWriter& writer, const adapters::Exported& exported) {
  VN_ASSIGN_OR_RETURN(const std::vector<storage::TensorView> views, ViewsOf(exported));
  // Loaders of the ecosystem look for this entry.
  VN_RETURN_IF_ERROR(writer.AddTensors(exported.tensor_file, views, {{"format", "pt"}}));
  if (exported.config_file.empty()) return absl::OkStatus();
  return writer.AddBytes(exported.config_file, exported.config.dump(2) + "\n");
}

}  // namespace vernier::stages
