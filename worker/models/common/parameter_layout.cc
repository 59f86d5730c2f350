#include "worker/models/common/parameter_layout.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/models/torch.h"

namespace vernier::models {
namespace {

constexpr size_t kMaxProblemsShown = 10;

std::optional<at::ScalarType> TorchDtype(storage::Dtype dtype) {
  switch (dtype) {
    case storage::Dtype::kF32:
      return at::kFloat;
    case storage::Dtype::kF16:
      return at::kHalf;
    case storage::Dtype::kBF16:
      return at::kBFloat16;
    default:
      return std::nullopt;
  }
}

std::string ShapeText(absl::Span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

// The tensor's values in `dtype`. Shares the map where nothing has to change and the bytes are aligned for
// it.
at::Tensor Materialise(const StoredTensor& stored, at::ScalarType stored_dtype, at::ScalarType dtype,
                       bool may_share) {
  const storage::TensorView& view = stored.view;
  const auto options = at::TensorOptions().dtype(stored_dtype);
  const bool aligned = reinterpret_cast<uintptr_t>(view.bytes.data()) % storage::DtypeBytes(view.dtype) == 0;
  at::Tensor tensor;
  if (aligned) {
    // The map is read-only: whoever writes to a base tensor faults instead of changing what others read.
    tensor = torch::from_blob(
        const_cast<char*>(view.bytes.data()), view.shape, [file = stored.file](void*) {}, options);
  } else {
    tensor = at::empty(view.shape, options);
    std::memcpy(tensor.data_ptr(), view.bytes.data(), view.bytes.size());
  }
  if (stored_dtype == dtype && aligned && !may_share) return tensor.clone();
  return tensor.to(dtype);
}

}  // namespace

int ParameterLayout::Add(std::string name, std::vector<int64_t> shape) {
  wanted_.push_back({std::move(name), std::move(shape)});
  return static_cast<int>(wanted_.size()) - 1;
}

int ParameterLayout::AddMatrix(std::string name, int64_t rows, int64_t columns) {
  return Add(std::move(name), {rows, columns});
}

int ParameterLayout::AddVector(std::string name, int64_t size) { return Add(std::move(name), {size}); }

int ParameterLayout::AddLinear(std::string name, int64_t in_features, int64_t out_features, bool has_bias,
                               bool weight_is_io) {
  LinearSite site;
  site.index = static_cast<int>(sites_.size());
  site.leaf = name.substr(name.rfind('.') + 1);
  site.in_features = in_features;
  site.out_features = out_features;
  site.weight = weight_is_io ? AddMatrix(absl::StrCat(name, ".weight"), in_features, out_features)
                             : AddMatrix(absl::StrCat(name, ".weight"), out_features, in_features);
  if (has_bias) site.bias = AddVector(absl::StrCat(name, ".bias"), out_features);
  site.weight_is_io = weight_is_io;
  site.name = std::move(name);
  sites_.push_back(std::move(site));
  return sites_.back().index;
}

int ParameterLayout::AddHead(std::string name, int embedding, bool tied, std::string alias) {
  head_ = {name, std::move(alias), embedding, tied};
  if (tied) return embedding;
  return Add(std::move(name), wanted_.at(embedding).shape);
}

std::string ParameterLayout::TiedHeadProblem(const StoredTensor& head, const StoredTensor& embedding) const {
  const auto head_dtype = TorchDtype(head.view.dtype), embedding_dtype = TorchDtype(embedding.view.dtype);
  // What is wrong with the embedding is said elsewhere.
  if (!embedding_dtype.has_value() || embedding.view.shape != wanted_.at(head_.embedding).shape) return "";
  const bool same = head.view.shape == embedding.view.shape && head_dtype.has_value() &&
                    (head_dtype == embedding_dtype
                         ? head.view.bytes == embedding.view.bytes
                         : at::equal(Materialise(head, *head_dtype, at::kFloat, /*may_share=*/true),
                                     Materialise(embedding, *embedding_dtype, at::kFloat, true)));
  if (same) return "";
  return absl::StrCat("tensor \"", head.view.name, "\" differs from the embedding \"", embedding.view.name,
                      "\" although config.json ties them; set tie_word_embeddings to false to keep both, or "
                      "remove the tensor");
}

absl::StatusOr<std::vector<Parameter>> ParameterLayout::Load(const ModelFolder& folder,
                                                             const Options& options) const {
  const auto& stored = folder.tensors();
  const bool is_bare = std::none_of(stored.begin(), stored.end(), [&](const auto& entry) {
    return absl::StartsWith(entry.first, options.base_prefix);
  });
  const auto name_in_files = [&](absl::string_view name) -> absl::string_view {
    if (name == head_.name && !stored.contains(name)) return head_.alias.empty() ? name : head_.alias;
    return is_bare ? absl::StripPrefix(name, options.base_prefix) : name;
  };
  std::vector<std::string> problems;
  absl::flat_hash_set<absl::string_view> used;
  for (const Wanted& wanted : wanted_) {
    const auto found = stored.find(name_in_files(wanted.name));
    if (found == stored.end()) {
      problems.push_back(absl::StrCat("tensor \"", wanted.name, "\" is missing"));
      if (wanted.name == head_.name) {
        absl::StrAppend(&problems.back(),
                        " and config.json does not tie it to the embedding; set "
                        "tie_word_embeddings to true if the embedding is the head");
      }
      continue;
    }
    const storage::TensorView& view = found->second.view;
    used.insert(view.name);
    if (view.shape != wanted.shape) {
      problems.push_back(absl::StrCat("tensor \"", wanted.name, "\" has shape ", ShapeText(view.shape),
                                      ", config.json asks for ", ShapeText(wanted.shape)));
    } else if (!TorchDtype(view.dtype).has_value()) {
      problems.push_back(absl::StrCat("tensor \"", wanted.name, "\" is ", storage::DtypeName(view.dtype),
                                      "; supported: F32, F16, BF16"));
    }
  }
  if (head_.tied) {
    const auto head = stored.find(name_in_files(head_.name));
    const auto embedding = stored.find(name_in_files(wanted_.at(head_.embedding).name));
    if (head != stored.end() && embedding != stored.end()) {
      used.insert(head->second.view.name);
      const std::string problem = TiedHeadProblem(head->second, embedding->second);
      if (!problem.empty()) problems.push_back(problem);
    }
  }
  std::vector<std::string> left_over;
  for (const auto& [name, tensor] : stored) {
    if (used.contains(name)) continue;
    if (options.may_be_left_over != nullptr && options.may_be_left_over(name)) continue;
    left_over.push_back(absl::StrCat("tensor \"", Excerpt(name), "\" is not part of such a model"));
  }
  std::sort(left_over.begin(), left_over.end());
  problems.insert(problems.end(), left_over.begin(), left_over.end());
  if (!problems.empty()) {
    const size_t shown = std::min(problems.size(), kMaxProblemsShown);
    std::string message =
        absl::StrCat(folder.path(), ": ", absl::StrJoin(problems.begin(), problems.begin() + shown, "; "));
    if (shown < problems.size()) absl::StrAppend(&message, "; and ", problems.size() - shown, " more");
    return absl::InvalidArgumentError(message);
  }
  std::vector<Parameter> parameters;
  for (const Wanted& wanted : wanted_) {
    const StoredTensor& tensor = stored.at(name_in_files(wanted.name));
    const bool is_matrix = wanted.shape.size() > 1;
    Parameter parameter;
    parameter.index = static_cast<int>(parameters.size());
    parameter.name = wanted.name;
    parameter.stored_dtype = *TorchDtype(tensor.view.dtype);
    parameter.base =
        Materialise(tensor, parameter.stored_dtype, is_matrix ? options.compute_dtype : at::kFloat,
                    /*may_share=*/is_matrix);
    parameters.push_back(std::move(parameter));
  }
  return parameters;
}

}  // namespace vernier::models
