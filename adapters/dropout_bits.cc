#include "adapters/dropout_bits.h"

namespace vernier::adapters {
namespace {

// Inlined into each variant below and compiled there for its instruction set.
__attribute__((always_inline)) inline void Draw(PhiloxKey key, PhiloxCounter counter, uint32_t threshold,
                                                int64_t num_bytes, uint8_t* out) {
  for (int64_t b = 0; b < num_bytes; ++b) {
    const PhiloxCounter draw =
        Philox4x32({static_cast<uint32_t>(b), counter[1], counter[2], counter[3]}, key);
    uint32_t byte = 0;
    for (int word = 0; word < 4; ++word) {
      byte |= static_cast<uint32_t>((draw[word] & 0xffff) >= threshold) << (2 * word);
      byte |= static_cast<uint32_t>((draw[word] >> 16) >= threshold) << (2 * word + 1);
    }
    out[b] = static_cast<uint8_t>(byte);
  }
}

__attribute__((target("avx512f,avx512bw,prefer-vector-width=512"))) void DrawAvx512(
    PhiloxKey key, PhiloxCounter counter, uint32_t threshold, int64_t num_bytes, uint8_t* out) {
  Draw(key, counter, threshold, num_bytes, out);
}

__attribute__((target("avx2"))) void DrawAvx2(PhiloxKey key, PhiloxCounter counter, uint32_t threshold,
                                              int64_t num_bytes, uint8_t* out) {
  Draw(key, counter, threshold, num_bytes, out);
}

void DrawPlain(PhiloxKey key, PhiloxCounter counter, uint32_t threshold, int64_t num_bytes, uint8_t* out) {
  Draw(key, counter, threshold, num_bytes, out);
}

decltype(&DrawPlain) Choose() {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")) return DrawAvx512;
  return __builtin_cpu_supports("avx2") ? DrawAvx2 : DrawPlain;
}

}  // namespace

void DrawKeepBits(PhiloxKey key, PhiloxCounter counter, uint32_t threshold, int64_t num_bytes, uint8_t* out) {
  static const auto draw = Choose();
  draw(key, counter, threshold, num_bytes, out);
}

}  // namespace vernier::adapters
