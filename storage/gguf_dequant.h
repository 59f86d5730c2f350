// ggml tensor types: block sizes of all of them, and values of those we read as float.
//   F32 F16 BF16   plain
//   Q8_0  32 values: fp16 scale d, 32 x int8;              value = d * q
//   Q4_0  32 values: fp16 scale d, 16 bytes;               value = d * (q - 8)
//   Q4_1  32 values: fp16 scale d, fp16 minimum m, 16 bytes; value = d * q + m
//   Q5_0  32 values: fp16 d, 32 high bits, 16 bytes;       value = d * (q - 16)
//   Q5_1  32 values: fp16 d, fp16 m, 32 high bits, 16 bytes; value = d * q + m
// In the 4-bit and 5-bit types byte i holds value i in its low and value i + 16 in its high half.
// Super-blocks of 256 values; s and m are small whole numbers of each 16 or 32 of them:
//   Q2_K  16 x (4-bit s, 4-bit m), 64 bytes of 2 bits, fp16 d, fp16 e;  value = d s q - e m
//   Q3_K  32 bytes of third bits, 64 bytes of 2 bits, 16 x 6-bit s, fp16 d;  value = d (s - 32) (q - 4)
//   Q4_K  fp16 d, fp16 e, 8 x (6-bit s, 6-bit m), 128 bytes of 4 bits;  value = d s q - e m
//   Q5_K  as Q4_K with 32 bytes of fifth bits before the 128 bytes
//   Q6_K  128 bytes of low 4 bits, 64 bytes of high 2 bits, 16 x int8 s, fp16 d;  value = d s (q - 32)
// Q8_1 and Q8_K exist in memory only (activations); IQ*, TQ*, MXFP4 and the others are refused by name.
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
