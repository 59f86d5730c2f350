// One split as a safetensors file and back (docs/formats/prepared.md). Pure: bytes in, bytes out.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/data/prepare_rows.h"

namespace vernier::data {

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
