// JSON from strangers: bounded in size and depth, each name once per object.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace vernier::storage {

struct JsonLimits {
  int64_t max_bytes = int64_t{64} << 20;
  int max_depth = 32;                     // arrays and objects inside each other
  int64_t max_values = int64_t{1} << 24;  // values in all
};

// InvalidArgument, starting with `name`: not JSON (with the place), over a limit, or a repeated name.
absl::StatusOr<nlohmann::json> ParseJson(absl::string_view text, absl::string_view name,
                                         const JsonLimits& limits = {});

}  // namespace vernier::storage
