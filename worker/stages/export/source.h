// What an export stage exports: a model's files, and the updates that adapters make to them. Tensors are
// read, merged and handed on one at a time, so that a model of any size needs the memory of its largest
// tensor.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/safetensors.h"
#include "worker/stages/inputs.h"

namespace vernier::stages {

// What one adapter adds to a weight: scale * B A. Letters: I input, O output features, R rank.
struct WeightUpdate {
  at::Tensor a_RI, b_OR;  // fp32, CPU
  double scale = 1.0;
  bool weight_is_io = false;  // the weight is stored as [I, O]
};

// The updates of an adapter, by the weight's name, as the loaded model calls it. FailedPrecondition: its
// method cannot be merged into a model.
absl::StatusOr<absl::flat_hash_map<std::string, std::vector<WeightUpdate>>> UpdatesOf(
    const adapters::Tuning& tuning, const models::CausalLm& model);

// The tensors of a model's files with updates added. Immutable.
class MergedTensors {
 public:
  struct File {
    std::string name;  // "model.safetensors", or a shard
    storage::SafetensorsFile tensors;
  };

  // `updates` in the order in which they are added. FailedPrecondition: a file is gone; an update has no
  // weight in them, or another shape.
  static absl::StatusOr<MergedTensors> Open(
      const BaseModel& base,
      std::vector<absl::flat_hash_map<std::string, std::vector<WeightUpdate>>> updates);

  const std::vector<File>& files() const { return files_; }
  int64_t total_bytes() const { return total_bytes_; }
  // The coarsest type among the matrices: what rounding a reader must expect.
  storage::Dtype coarsest_type() const { return coarsest_; }

  // A tensor of a file, merged, in its own type. The bytes of one without updates are those of the file.
  absl::Status Append(const storage::TensorView& tensor, storage::ByteSink& sink) const;
  // The values of a tensor by the name that the loaded model gives it. NotFound: there is none.
  absl::Status Values(const std::string& name, std::vector<float>& values) const;

 private:
  absl::StatusOr<at::Tensor> Merged(const storage::TensorView& tensor) const;

  std::vector<File> files_;
  absl::flat_hash_map<std::string, const storage::TensorView*> by_name_;  // as in the files
  // By the name in the files.
  absl::flat_hash_map<std::string, std::vector<WeightUpdate>> updates_;
  int64_t total_bytes_ = 0;
  storage::Dtype coarsest_ = storage::Dtype::kF32;
};

}  // namespace vernier::stages
