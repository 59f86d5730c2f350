// A small random model of any family, as data that a test may spoil before it is written: a config and the
// tensors that belong to it. For tests of loading and for suites over all families.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/safetensors.h"

namespace vernier::testing {

struct FamilyModel {
  nlohmann::json config;
  std::vector<storage::TensorSpec> tensors;  // F32, BF16 and F16 get random values, other types zeros

  storage::TensorSpec& Tensor(absl::string_view name);  // ends the test program when there is none
  void Remove(absl::string_view name);
};

// 2 layers of width 24 (4 heads of 6 numbers, 2 key-value heads where the family may share them), vocabulary
// 48, context 32; with all that the family may have and others lack: biases, a window of 6 tokens, layers
// without rotary positions. Gemma and gpt2 are tied, the others have a head. NotFound: no small model is
// known for `model_type`; add one.
absl::StatusOr<FamilyModel> SmallModelOf(absl::string_view model_type);

// Writes config.json and model.safetensors into `folder`, which is created. Values depend on `seed` and the
// order of tensors.
absl::Status WriteFamilyModel(const FamilyModel& model, const std::string& folder, uint64_t seed = 1);

// The bytes of a safetensors file with those tensors.
absl::StatusOr<std::string> RandomSafetensors(const std::vector<storage::TensorSpec>& tensors, uint64_t seed);

}  // namespace vernier::testing
