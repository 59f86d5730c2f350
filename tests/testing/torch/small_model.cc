#include "tests/testing/torch/small_model.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <utility>

#include "common/check.h"
#include "common/digest.h"
#include "common/philox.h"
#include "storage/memory_store.h"
#include "tests/testing/family_model.h"
#include "worker/models/torch.h"

namespace vernier::testing {

std::unique_ptr<models::CausalLm> LoadSmallModel(const std::string& model_type, at::ScalarType dtype) {
  at::set_num_threads(1);
  const std::string folder = ::testing::TempDir() + "/small_model_" + RandomHex(8);
  absl::StatusOr<FamilyModel> small = SmallModelOf(model_type);
  VN_CHECK_OK(small.status());
  VN_CHECK_OK(WriteFamilyModel(*small, folder));
  absl::StatusOr<std::unique_ptr<models::CausalLm>> model = models::LoadCausalLm(folder, dtype);
  VN_CHECK_OK(model.status());
  std::filesystem::remove_all(folder);  // the model keeps its map
  return *std::move(model);
}

std::vector<LabelledRow> RandomRows(int count, int64_t vocab_size, uint64_t seed) {
  constexpr float kWeights[] = {1.0f, 0.5f, 2.0f};
  std::vector<LabelledRow> rows;
  for (int r = 0; r < count; ++r) {
    LabelledRow row;
    const int64_t length = 2 + static_cast<int64_t>(DeriveSeed(seed, 1, r) % 13);
    const int64_t prompt = 1 + static_cast<int64_t>(DeriveSeed(seed, 2, r) % (length - 1));
    for (int64_t t = 0; t < length; ++t) {
      row.ids.push_back(static_cast<int64_t>(DeriveSeed(seed, 3, 1000 * r + t) % vocab_size));
      row.weights.push_back(t < prompt ? 0.0f : kWeights[r % 3]);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

objectives::LabelledBatch BatchOf(const std::vector<LabelledRow>& rows, bool training, int64_t first) {
  objectives::LabelledBatch batch;
  std::vector<int64_t> ids;
  batch.tokens.row_offsets = {0};
  for (const LabelledRow& row : rows) {
    ids.insert(ids.end(), row.ids.begin(), row.ids.end());
    batch.weights.insert(batch.weights.end(), row.weights.begin(), row.weights.end());
    batch.tokens.row_offsets.push_back(static_cast<int64_t>(ids.size()));
    batch.tokens.global_rows.push_back(first++);
  }
  batch.tokens.ids_T = torch::tensor(ids, at::TensorOptions().dtype(at::kLong));
  batch.tokens.step = 3;
  batch.tokens.training = training;
  return batch;
}

double TotalWeight(const std::vector<LabelledRow>& rows) {
  double total = 0.0;
  for (const LabelledRow& row : rows) {
    for (size_t t = 1; t < row.weights.size(); ++t) total += row.weights[t];
  }
  return total;
}

void Perturb(adapters::Tuning& tuning, float bound, uint64_t seed) {
  uint64_t index = 0;
  for (const adapters::TrainableParameter& parameter : tuning.Trainable()) {
    float* const values = static_cast<float*>(parameter.tensor.data_ptr());
    for (int64_t i = 0; i < parameter.tensor.numel(); ++i) {
      const uint32_t bits = static_cast<uint32_t>(DeriveSeed(seed, 4, index++));
      values[i] += bound * (2.0f * UnitFloat(bits) - 1.0f);
    }
  }
}

std::vector<float> Values(adapters::Tuning& tuning) {
  std::vector<float> values;
  for (const adapters::TrainableParameter& parameter : tuning.Trainable()) {
    const float* const begin = parameter.tensor.const_data_ptr<float>();
    values.insert(values.end(), begin, begin + parameter.tensor.numel());
  }
  return values;
}

std::string TensorFileBytes(const adapters::Exported& exported) {
  std::vector<storage::TensorView> views;
  for (const auto& [name, tensor] : exported.tensors) {
    storage::TensorView view;
    view.name = name;
    view.dtype = tensor.scalar_type() == at::kBFloat16 ? storage::Dtype::kBF16 : storage::Dtype::kF32;
    view.shape = tensor.sizes().vec();
    view.bytes = {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()};
    VN_CHECK(tensor.is_contiguous() && static_cast<int64_t>(view.bytes.size()) == view.NumBytes());
    views.push_back(std::move(view));
  }
  storage::MemoryStore store;
  VN_CHECK_OK(storage::WriteSafetensors(store, exported.tensor_file, storage::WriteMode::kReplace, views,
                                        {{"format", "pt"}})
                  .status());
  return store.Get(exported.tensor_file).value();
}

}  // namespace vernier::testing
