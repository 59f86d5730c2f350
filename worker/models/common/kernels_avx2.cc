// The loops for processors with AVX2 and FMA.
#define VN_INSTRUCTION_SET avx2
#include "worker/models/common/kernel_loops.h"

namespace vernier::models::kernels::avx2 {

template Loops<float> MakeLoops<float>();
template Loops<c10::BFloat16> MakeLoops<c10::BFloat16>();

}  // namespace vernier::models::kernels::avx2
