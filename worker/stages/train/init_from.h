// Going on with an adapter made before: `init_from`.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "adapters/adapter.h"

namespace vernier::stages {

// A tuning as `spec` says, with the values of `start`. What `spec` leaves unset is as in `start`; what it
// sets must be the same (the dropout apart, which is not part of the values). InvalidArgument: `spec` is no
// adapter method, or differs in rank, scaling or targets (names both values).
absl::StatusOr<std::unique_ptr<adapters::Tuning>> ContinueAdapter(const models::CausalLm& model,
                                                                  adapters::Tuning& start, v1::Tuning spec,
                                                                  uint64_t seed);

}  // namespace vernier::stages
