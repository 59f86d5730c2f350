// How many tokens a model takes, as its config.json has it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace vernier::storage {

// `positions` is max_position_embeddings. Two scalings of rotary positions reach beyond it: "dynamic" up to
// `factor` times as far, "yarn" up to `factor` times its `original` context (some files state the longer
// context already). With the others max_position_embeddings is the whole context.
inline int64_t ScaledContext(absl::string_view rope_type, double factor, int64_t original,
                             int64_t positions) {
  // Of a config from a stranger: 2^31 tokens are more than any file can fill.
  constexpr double kMost = 2147483647.0;
  const auto times = [&](int64_t tokens) {
    return static_cast<int64_t>(std::clamp(factor * static_cast<double>(tokens), 1.0, kMost));
  };
  if (rope_type == "dynamic") return std::max(positions, times(positions));
  if (rope_type == "yarn") return std::max(positions, times(original));
  return positions;
}

}  // namespace vernier::storage
