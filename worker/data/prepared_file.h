// One split as a safetensors file and back (docs/formats/prepared.md). Pure: bytes in, bytes out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace vernier::data {

// The rows of one split, end to end.
struct PreparedSplit {
  std::vector<int32_t> ids;                // [N]
  std::vector<float> weights;              // [N]
  std::vector<int64_t> row_offsets = {0};  // [R + 1]
  std::vector<int64_t> lines;              // [R]
  std::vector<int64_t> prompt_lengths;     // [R]
  int64_t num_rows() const { return static_cast<int64_t>(lines.size()); }
};

// What stands before the tensors of a file with so many rows and tokens. Behind it, without gaps:
// row_offsets, lines, prompt_lengths, ids, weights.
std::string PreparedHeader(int64_t num_rows, int64_t num_tokens);
// The same split gives the same bytes.
std::string EncodePreparedFile(const PreparedSplit& split);

// Views into the bytes of a file.
struct PreparedView {
  absl::Span<const int64_t> row_offsets;     // [R + 1], from 0 to N, rising
  absl::Span<const int64_t> lines;           // [R], >= 1
  absl::Span<const int64_t> prompt_lengths;  // [R], in [1, length]
  absl::Span<const int32_t> ids;             // [N], >= 0
  absl::Span<const float> weights;           // [N], finite, >= 0, 0 at the start of each row
};

// `bytes` must start at an address divisible by 8 and outlive the view. DataLoss: not such a file; says why.
absl::StatusOr<PreparedView> ParsePreparedFile(absl::string_view bytes);

}  // namespace vernier::data
