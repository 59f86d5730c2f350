// The loops for any x86-64 processor.
#define VN_INSTRUCTION_SET plain
#include "worker/models/common/kernel_loops.h"

namespace vernier::models::kernels::plain {

template Loops<float> MakeLoops<float>();
template Loops<c10::BFloat16> MakeLoops<c10::BFloat16>();

}  // namespace vernier::models::kernels::plain
