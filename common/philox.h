// Philox4x32-10, a counter-based random generator: the numbers are a pure function of (key, counter), so
// draws do not depend on threads, ranks or the order of calls.
// Source: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC'11), section 4.
#pragma once

#include <array>
#include <cstdint>

namespace vernier {

using PhiloxCounter = std::array<uint32_t, 4>;
using PhiloxKey = std::array<uint32_t, 2>;

// Four independent uniform 32-bit numbers. Inline, so that loops over counters become vector code.
inline PhiloxCounter Philox4x32(PhiloxCounter c, PhiloxKey k) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(p0)};
    k[0] += 0x9E3779B9;
    k[1] += 0xBB67AE85;
  }
  return c;
}

inline PhiloxKey PhiloxKeyOf(uint64_t seed) {
  return {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
}

// A 64-bit mix of its arguments, for deriving independent seeds: streams must not share a tag.
uint64_t DeriveSeed(uint64_t seed, uint64_t tag, uint64_t index = 0);

// [0, 1), 24 random bits.
inline float UnitFloat(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

// A pseudo-random permutation of [0, size) that needs no table: i -> Permute(i), any i at once, O(1) on
// average. A four-round Feistel network over the next even power of two, walked until the value falls inside.
class KeyedPermutation {
 public:
  KeyedPermutation(uint64_t size, uint64_t key);
  // index in [0, size).
  uint64_t operator()(uint64_t index) const;

 private:
  uint64_t size_;
  uint64_t key_;
  int half_bits_;
};

}  // namespace vernier
