// Numbers that tests/golden/make/make_model_goldens.py wrote.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "storage/safetensors.h"
#include "worker/models/model.h"
#include "worker/models/torch.h"

namespace vernier::models {

inline std::string GoldenPath(const std::string& name) {
  return std::string(VERNIER_SOURCE_DIR) + "/tests/golden/worker_models/" + name;
}

// The tensor `name`, int64 or fp32.
inline at::Tensor GoldenTensor(const storage::SafetensorsFile& file, const std::string& name) {
  const storage::TensorView view = file.Find(name).value();
  const at::Tensor tensor = at::empty(
      view.shape, at::TensorOptions().dtype(view.dtype == storage::Dtype::kI64 ? at::kLong : at::kFloat));
  std::memcpy(tensor.data_ptr(), view.bytes.data(), view.bytes.size());
  return tensor;
}

inline at::Tensor LogitsOf(const CausalLm& model, const at::Tensor& ids_T, std::vector<int64_t> row_offsets,
                           const Overlay& overlay = Overlay()) {
  TokenBatch batch;
  batch.ids_T = ids_T;
  batch.row_offsets = std::move(row_offsets);
  return model.Logits(model.Hidden(batch, overlay), model.HeadWeight(overlay));
}

// The largest difference, relative to the largest logit.
inline double LogitError(const at::Tensor& got, const at::Tensor& want) {
  return ((got - want).abs().max() / want.abs().max()).item<double>();
}

}  // namespace vernier::models
