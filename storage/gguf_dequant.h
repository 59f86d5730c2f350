// ggml tensor types: block sizes of all of them, and values of those we read as float.
//   F32 F16 BF16   plain
//   Q8_0  32 values: fp16 scale d, 32 x int8;              value = d * q
//   Q4_0  32 values: fp16 scale d, 16 bytes;               value = d * (q - 8)
//   Q4_1  32 values: fp16 scale d, fp16 minimum m, 16 bytes; value = d * q + m
// In the 4-bit types byte i holds value i in its low and value i + 16 in its high half.
// Source: ggml src/ggml-quants.c; compared with the Python package `gguf` in tests/golden/storage.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace vernier::storage {

struct GgmlType {
  uint32_t id;
  absl::string_view name;
  int64_t block_elements;
  int64_t block_bytes;
  bool readable;  // Dequantize knows it
};

// Null: no type has this id.
const GgmlType* FindGgmlType(uint32_t id);

// Fills `out` with the values of the first out.size() elements of `bytes`.
// InvalidArgument: a type we do not read (names it and those we do), a count that does not fill whole blocks,
// or too few bytes.
absl::Status Dequantize(uint32_t type, absl::string_view bytes, absl::Span<float> out);

}  // namespace vernier::storage
