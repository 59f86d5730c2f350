#include "common/philox.h"

#include "common/check.h"

namespace vernier {

uint64_t DeriveSeed(uint64_t seed, uint64_t tag, uint64_t index) {
  const PhiloxCounter out = Philox4x32({static_cast<uint32_t>(tag), static_cast<uint32_t>(tag >> 32),
                                        static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32)},
                                       PhiloxKeyOf(seed));
  return (uint64_t{out[1]} << 32) | out[0];
}

KeyedPermutation::KeyedPermutation(uint64_t size, uint64_t key) : size_(size), key_(key), half_bits_(1) {
  VN_CHECK(size > 0);
  while (half_bits_ < 31 && (uint64_t{1} << (2 * half_bits_)) < size) ++half_bits_;
}

uint64_t KeyedPermutation::operator()(uint64_t index) const {
  VN_CHECK(index < size_);
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  do {
    uint64_t left = index >> half_bits_;
    uint64_t right = index & mask;
    for (uint32_t round = 0; round < 4; ++round) {
      const PhiloxCounter out = Philox4x32({static_cast<uint32_t>(right), round, 0, 0}, PhiloxKeyOf(key_));
      const uint64_t next = left ^ (out[0] & mask);
      left = right;
      right = next;
    }
    index = (left << half_bits_) | right;
  } while (index >= size_);
  return index;
}

}  // namespace vernier
