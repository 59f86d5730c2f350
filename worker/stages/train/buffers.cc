#include "worker/stages/train/buffers.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"

namespace vernier::stages {

Buffers CopyBuffers(trainer::Run& run, absl::string_view prefix) {
  Buffers buffers;
  for (const trainer::StateBuffer& buffer : run.State()) {
    if (!absl::StartsWith(buffer.name, prefix)) continue;
    CopiedBuffer& copy = buffers.emplace_back();
    copy.spec = {.name = buffer.name, .dtype = storage::Dtype::kF32, .shape = buffer.shape};
    copy.values.assign(buffer.values.begin(), buffer.values.end());
  }
  return buffers;
}

std::vector<storage::TensorView> ViewsOf(const Buffers& buffers) {
  std::vector<storage::TensorView> views;
  views.reserve(buffers.size());
  for (const CopiedBuffer& buffer : buffers) {
    storage::TensorView view;
    static_cast<storage::TensorSpec&>(view) = buffer.spec;
    view.bytes = {reinterpret_cast<const char*>(buffer.values.data()), buffer.values.size() * sizeof(float)};
    views.push_back(std::move(view));
  }
  return views;
}

absl::StatusOr<Buffers> ReadBuffers(const storage::SafetensorsFile& file, absl::string_view name) {
  Buffers buffers;
  for (const storage::TensorView& tensor : file.tensors()) {
    if (tensor.dtype != storage::Dtype::kF32) {
      return absl::DataLossError(absl::StrCat(name, ": tensor ", tensor.name, " is ",
                                              storage::DtypeName(tensor.dtype), ", not F32"));
    }
    CopiedBuffer& copy = buffers.emplace_back();
    copy.spec = tensor;
    copy.values.resize(tensor.NumElements());
    if (!tensor.bytes.empty()) std::memcpy(copy.values.data(), tensor.bytes.data(), tensor.bytes.size());
  }
  return buffers;
}

absl::Status RestoreBuffers(const Buffers& buffers, absl::string_view prefix, absl::string_view name,
                            trainer::Run& run) {
  absl::flat_hash_map<absl::string_view, const CopiedBuffer*> by_name;
  for (const CopiedBuffer& buffer : buffers) by_name[buffer.spec.name] = &buffer;
  std::vector<std::pair<trainer::StateBuffer, const CopiedBuffer*>> pairs;
  for (trainer::StateBuffer& target : run.State()) {
    if (!absl::StartsWith(target.name, prefix)) continue;
    const auto found = by_name.find(target.name);
    if (found == by_name.end())
      return absl::DataLossError(absl::StrCat(name, ": tensor ", target.name, " is missing"));
    if (found->second->spec.shape != target.shape) {
      return absl::DataLossError(absl::StrCat(name, ": tensor ", target.name, " has shape [",
                                              absl::StrJoin(found->second->spec.shape, ", "),
                                              "], the run's is [", absl::StrJoin(target.shape, ", "), "]"));
    }
    pairs.emplace_back(std::move(target), found->second);
  }
  if (pairs.size() != buffers.size()) {
    return absl::DataLossError(
        absl::StrCat(name, ": has ", buffers.size(), " tensors, the run ", pairs.size()));
  }
  for (const auto& [target, source] : pairs) {
    std::copy(source->values.begin(), source->values.end(), target.values.begin());
  }
  return absl::OkStatus();
}

}  // namespace vernier::stages
