// Made-up conversations that look like real ones to a tokenizer: words of a Zipf-like vocabulary,
// punctuation, numbers, some code; one to four turns. The same seed gives the same bytes.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace vernier::bench {

struct WrittenRows {
  int64_t num_rows = 0;
  int64_t num_bytes = 0;
};

// Writes at least `num_bytes` of JSON lines to `path`.
absl::StatusOr<WrittenRows> WriteRows(const std::string& path, int64_t num_bytes, uint64_t seed);

}  // namespace vernier::bench
