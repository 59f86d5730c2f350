// Values as ggml blocks: the types that GGUF files are written in.
//   F32   as they are
//   F16   rounded to nearest, ties to even
//   Q8_0  32 values: fp16 scale d = max|v| / 127, 32 x int8 = v / d rounded to nearest, ties away from zero
// Equal to the reference quantiser bit by bit (the Python package `gguf` in tests/golden/storage).
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace vernier::storage {

// Appends the blocks of `values` to `bytes`. `type` as in gguf_dequant.h.
// InvalidArgument: a type that is not written (names those that are), a count that does not fill whole
// blocks, or a value that is not finite or too large for the type.
absl::Status Quantize(uint32_t type, absl::Span<const float> values, std::string* bytes);

}  // namespace vernier::storage
