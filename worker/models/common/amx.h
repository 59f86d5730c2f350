// Tiles of AMX: 16 rows of 64 bytes, whose products of bf16 pairs are added in fp32. Without torch.
#pragma once

#include <immintrin.h>

#include <cstdint>

#define VN_AMX __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))

namespace vernier::models::amx {

inline constexpr int64_t kTile = 16;

// bf16, as its bits.
using Half = uint16_t;

// Whether this processor has AMX with bf16 and the kernel lets this process use it. Asks once.
bool Available();

// What was written before is in memory, and what is read after comes from there: the compiler does not know
// what tile instructions touch.
inline void Settle() { asm volatile("" : : : "memory"); }

// Tiles of this thread, for sums over blocks of `depth` (16 or 32); given back at the end, so that others who
// look find none of theirs. Tiles 0-3 are sums, `left` of those behind them left-hand sides, the rest
// right-hand sides.
class Tiles {
 public:
  VN_AMX Tiles(int64_t depth, int left) {
    struct alignas(64) {
      uint8_t palette = 1;
      uint8_t start_row = 0;
      uint8_t reserved[14] = {};
      uint16_t row_bytes[16] = {};
      uint8_t rows[16] = {};
    } config;
    for (int tile = 0; tile < 8; ++tile) {
      const bool is_left = tile >= 4 && tile < 4 + left;
      config.row_bytes[tile] = is_left ? static_cast<uint16_t>(2 * depth) : 64;
      config.rows[tile] = tile < 4 || is_left ? kTile : static_cast<uint8_t>(depth / 2);
    }
    Settle();
    _tile_loadconfig(&config);
  }
  VN_AMX ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

VN_AMX inline __m256i ToHalves(__m512 v) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v)); }

VN_AMX inline __m512 ToFloats(const Half* p) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

VN_AMX inline void StoreHalves(Half* p, __m512 v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), ToHalves(v));
}

// Pairs (even, odd) of bf16 in 32-bit lanes.
VN_AMX inline __m512i Pairs(__m512 even, __m512 odd) {
  const __m512i low = _mm512_cvtepu16_epi32(ToHalves(even));
  const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(ToHalves(odd)), 16);
  return _mm512_or_si512(low, high);
}

}  // namespace vernier::models::amx
