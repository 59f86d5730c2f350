// Values of ggml's super-blocks of 256 ("K" types). Internal to gguf_dequant.cc, whose header has the
// formats.
#pragma once

#include <cstdint>

namespace vernier::storage {

inline constexpr int64_t kSuperBlock = 256;

// Each writes the kSuperBlock values of one block to `out`.
void DequantizeBlockQ2K(const uint8_t* in, float* out);
void DequantizeBlockQ3K(const uint8_t* in, float* out);
void DequantizeBlockQ4K(const uint8_t* in, float* out);
void DequantizeBlockQ5K(const uint8_t* in, float* out);
void DequantizeBlockQ6K(const uint8_t* in, float* out);

}  // namespace vernier::storage
