// The inner loop of keyed dropout, in plain integers: the same bits on every machine, as fast as its vectors
// go. Compiled without torch.
#pragma once

#include <cstdint>

#include "common/philox.h"

namespace vernier::adapters {

// Writes `num_bytes` bytes of keep bits. Byte b is the Philox block of counter {b, counter[1], counter[2],
// counter[3]}: eight draws of 16 bits, a bit is set where its draw is at least `threshold`.
void DrawKeepBits(PhiloxKey key, PhiloxCounter counter, uint32_t threshold, int64_t num_bytes, uint8_t* out);

}  // namespace vernier::adapters
