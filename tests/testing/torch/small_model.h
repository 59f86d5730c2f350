// Small random models in memory, rows for them, and adapters through the bytes of their files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "adapters/adapter.h"
#include "storage/safetensors.h"
#include "worker/models/model.h"
#include "worker/objectives/objective.h"

namespace vernier::testing {

// tests/testing/family_model.h's model of that family, loaded; sets LibTorch to one thread, which computes
// models so small fastest. Ends the test program when it cannot be.
std::unique_ptr<models::CausalLm> LoadSmallModel(const std::string& model_type,
                                                 at::ScalarType dtype = at::kFloat);

struct LabelledRow {
  std::vector<int64_t> ids;
  std::vector<float> weights;
};

// `count` rows of 2 to 14 random tokens: a prompt of weight 0, then tokens of weight 1, 0.5 or 2.
std::vector<LabelledRow> RandomRows(int count, int64_t vocab_size, uint64_t seed = 7);

// The rows packed into one micro-batch. Row i is row `first + i` of the global batch of step 3.
objectives::LabelledBatch BatchOf(const std::vector<LabelledRow>& rows, bool training = false,
                                  int64_t first = 0);

// Sum of the weights that count: a row's first token is no target.
double TotalWeight(const std::vector<LabelledRow>& rows);

// Adds uniform noise in +-bound to everything that trains.
void Perturb(adapters::Tuning& tuning, float bound = 0.2f, uint64_t seed = 11);

// What everything that trains holds, end to end.
std::vector<float> Values(adapters::Tuning& tuning);

// The bytes of the exported tensor file.
std::string TensorFileBytes(const adapters::Exported& exported);

}  // namespace vernier::testing
