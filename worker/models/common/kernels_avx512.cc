// The loops for processors with AVX-512 (F, BW, VL, DQ).
#define VN_INSTRUCTION_SET avx512
#include "worker/models/common/kernel_loops.h"

namespace vernier::models::kernels::avx512 {

template Loops<float> MakeLoops<float>();
template Loops<c10::BFloat16> MakeLoops<c10::BFloat16>();

}  // namespace vernier::models::kernels::avx512
