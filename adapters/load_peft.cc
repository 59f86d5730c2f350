// LoadPeft: adapter_config.json decides the shapes, adapter_model.safetensors fills them.

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "adapters/adapter.h"
#include "adapters/peft_config.h"
#include "adapters/tensor_view.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/models/torch.h"

namespace vernier::adapters {
namespace {

constexpr absl::string_view kTensorName = "adapter_model.safetensors";
constexpr size_t kMaxProblemsShown = 5;

// Copies the file's tensors into the parameters of the same name. InvalidArgument: they are not exactly
// those.
absl::Status CopyTensors(const storage::SafetensorsFile& file,
                         const std::vector<TrainableParameter>& parameters) {
  absl::flat_hash_map<absl::string_view, const storage::TensorView*> stored;
  for (const storage::TensorView& view : file.tensors()) stored[view.name] = &view;
  std::vector<std::string> problems;
  for (const TrainableParameter& parameter : parameters) {
    const auto found = stored.find(parameter.name);
    if (found == stored.end()) {
      problems.push_back(absl::StrCat("tensor \"", parameter.name, "\" is missing"));
      continue;
    }
    const storage::TensorView& view = *found->second;
    stored.erase(found);
    if (view.shape != parameter.tensor.sizes().vec()) {
      problems.push_back(absl::StrCat(
          "tensor \"", parameter.name, "\" has shape [", absl::StrJoin(view.shape, ", "),
          "], the config and the model ask for [", absl::StrJoin(parameter.tensor.sizes(), ", "), "]"));
      continue;
    }
    const absl::StatusOr<at::Tensor> values = ToFloatTensor(view);
    if (!values.ok()) {
      problems.emplace_back(values.status().message());
      continue;
    }
    const at::NoGradGuard no_grad;
    at::Tensor tensor = parameter.tensor;
    tensor.copy_(*values);
  }
  std::vector<std::string> left_over;
  for (const auto& [name, view] : stored) {
    left_over.push_back(
        absl::StrCat("tensor \"", Excerpt(name, 200), "\" belongs to nothing that the config names"));
  }
  std::sort(left_over.begin(), left_over.end());
  problems.insert(problems.end(), left_over.begin(), left_over.end());
  if (problems.empty()) return absl::OkStatus();
  const size_t shown = std::min(problems.size(), kMaxProblemsShown);
  return absl::InvalidArgumentError(
      absl::StrCat(kTensorName, ": ", absl::StrJoin(problems.begin(), problems.begin() + shown, "; "),
                   shown < problems.size() ? absl::StrCat("; and ", problems.size() - shown, " more") : ""));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tuning>> LoadPeft(const models::CausalLm& model,
                                                 absl::string_view adapter_config_json,
                                                 const storage::SafetensorsFile& tensors) {
  VN_ASSIGN_OR_RETURN(Lora::Options options, ReadPeftConfig(model, adapter_config_json));
  auto lora = std::make_unique<Lora>(model, std::move(options));
  VN_RETURN_IF_ERROR(CopyTensors(tensors, lora->Trainable()));
  return lora;
}

}  // namespace vernier::adapters
