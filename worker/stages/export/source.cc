#include "worker/stages/export/source.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "adapters/lora.h"
#include "adapters/tensor_view.h"
#include "common/status_macros.h"
#include "worker/models/torch.h"
#include "worker/trainer/torch_call.h"

namespace vernier::stages {
namespace {

absl::string_view BytesOf(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.const_data_ptr()), static_cast<size_t>(tensor.nbytes())};
}

absl::StatusOr<at::ScalarType> TypeOf(const storage::TensorView& tensor) {
  switch (tensor.dtype) {
    case storage::Dtype::kF32:
      return at::kFloat;
    case storage::Dtype::kF16:
      return at::kHalf;
    case storage::Dtype::kBF16:
      return at::kBFloat16;
    default:
      return absl::FailedPreconditionError(absl::StrCat("tensor \"", tensor.name, "\" has the type ",
                                                        storage::DtypeName(tensor.dtype),
                                                        ", and an adapter cannot be merged into it"));
  }
}

// Of types a model may have, from fine to coarse.
int Coarseness(storage::Dtype dtype) {
  return dtype == storage::Dtype::kBF16 ? 2 : dtype == storage::Dtype::kF16 ? 1 : 0;
}

}  // namespace

absl::StatusOr<absl::flat_hash_map<std::string, std::vector<WeightUpdate>>> UpdatesOf(
    const adapters::Tuning& tuning, const models::CausalLm& model) {
  const auto* lora = dynamic_cast<const adapters::Lora*>(&tuning);
  if (lora == nullptr) return absl::FailedPreconditionError("the method of this adapter cannot be exported");
  absl::flat_hash_map<std::string, std::vector<WeightUpdate>> updates;
  for (const models::LinearSite& site : model.linear_sites()) {
    const adapters::Lora::Factors& factors = lora->factors(site);
    if (!factors.a_RI.defined()) continue;
    updates[model.parameter(site.weight).name].push_back(
        {factors.a_RI.detach(), factors.b_OR.detach(), factors.scale, site.weight_is_io});
  }
  return updates;
}

absl::StatusOr<MergedTensors> MergedTensors::Open(
    const BaseModel& base, std::vector<absl::flat_hash_map<std::string, std::vector<WeightUpdate>>> updates) {
  MergedTensors merged;
  for (const storage::ManifestPart& part : base.manifest.parts) {
    if (!absl::EndsWith(part.name, ".safetensors")) continue;
    absl::StatusOr<storage::SafetensorsFile> file =
        storage::SafetensorsFile::Open(absl::StrCat(base.folder.path(), "/", part.name));
    if (!file.ok()) return absl::FailedPreconditionError(file.status().message());
    merged.files_.push_back({part.name, *std::move(file)});
  }
  for (const File& file : merged.files_) {
    for (const storage::TensorView& tensor : file.tensors.tensors()) {
      merged.by_name_[tensor.name] = &tensor;
      merged.total_bytes_ += static_cast<int64_t>(tensor.bytes.size());
      if (Coarseness(tensor.dtype) > Coarseness(merged.coarsest_)) merged.coarsest_ = tensor.dtype;
    }
  }
  for (auto& layer : updates) {
    for (auto& [name, added] : layer) {
      // A bare model's files leave out the first part of a name: "model.", "transformer.".
      const std::string bare = name.substr(name.find('.') + 1);
      const std::string& stored = merged.by_name_.contains(name) ? name : bare;
      if (!merged.by_name_.contains(stored)) {
        return absl::FailedPreconditionError(
            absl::StrCat(base.key, ": has no tensor \"", name, "\", which the adapter changes"));
      }
      auto& all = merged.updates_[stored];
      for (WeightUpdate& update : added) all.push_back(std::move(update));
    }
  }
  return merged;
}

absl::StatusOr<at::Tensor> MergedTensors::Merged(const storage::TensorView& tensor) const {
  VN_ASSIGN_OR_RETURN(at::Tensor weight, adapters::ToFloatTensor(tensor));
  const auto found = updates_.find(tensor.name);
  if (found == updates_.end()) return weight;
  const at::NoGradGuard no_grad;
  for (const WeightUpdate& update : found->second) {
    const at::Tensor added = at::matmul(update.b_OR, update.a_RI).mul_(update.scale);
    weight.add_(update.weight_is_io ? added.t() : added);
  }
  return weight;
}

absl::Status MergedTensors::Append(const storage::TensorView& tensor, storage::ByteSink& sink) const {
  if (!updates_.contains(tensor.name)) return sink.Append(tensor.bytes);
  VN_ASSIGN_OR_RETURN(const at::ScalarType type, TypeOf(tensor));
  VN_ASSIGN_OR_RETURN(const at::Tensor weight,
                      trainer::TorchCall("merging", [&]() -> absl::StatusOr<at::Tensor> {
                        VN_ASSIGN_OR_RETURN(const at::Tensor merged, Merged(tensor));
                        return merged.to(type).contiguous();
                      }));
  return sink.Append(BytesOf(weight));
}

absl::Status MergedTensors::Values(const std::string& name, std::vector<float>& values) const {
  auto found = by_name_.find(name);
  if (found == by_name_.end()) found = by_name_.find(name.substr(name.find('.') + 1));
  if (found == by_name_.end())
    return absl::NotFoundError(absl::StrCat("the model has no tensor \"", name, "\""));
  return trainer::TorchCall("merging", [&]() -> absl::Status {
    VN_ASSIGN_OR_RETURN(const at::Tensor merged, Merged(*found->second));
    const float* const first = merged.const_data_ptr<float>();
    values.assign(first, first + merged.numel());
    return absl::OkStatus();
  });
}

}  // namespace vernier::stages
