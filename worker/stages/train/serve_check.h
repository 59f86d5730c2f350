// Law 5: what was trained is what is served. Compares the trainer's logits with those of the reloaded
// artifact.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/data/prepared_data.h"
#include "worker/models/model.h"

namespace vernier::stages {

// Letters  N positions looked at, V vocabulary.
struct ServeProbe {
  at::Tensor logits_NV;  // fp32
  int64_t num_rows = 0;
};

// Rows to look at, as token ids.
using ProbeRows = std::vector<std::vector<int64_t>>;
// The first few rows.
ProbeRows FirstRows(const data::PreparedRows& rows);

// Logits at the last positions of the rows.
absl::StatusOr<ServeProbe> ProbeLogits(const models::CausalLm& model, const models::Overlay& overlay,
                                       const ProbeRows& rows);

// |a - b| / |a|, Euclidean; infinite when either is not finite.
double RelativeDifference(const ServeProbe& a, const ServeProbe& b);

}  // namespace vernier::stages
