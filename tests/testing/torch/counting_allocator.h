// Counts the bytes of all tensors on the CPU: what LibTorch asks its allocator for, not what the system
// gives. Memory is tested with it, because time and resident size depend on the machine.
#pragma once

#include <cstdint>

namespace vernier::testing {

// Of the whole process. The first call of any of them installs the counter: call one before the tensors that
// matter are made.
int64_t LiveTensorBytes();
// The most that were alive since the last ResetPeak.
int64_t PeakTensorBytes();
void ResetPeakTensorBytes();

}  // namespace vernier::testing
