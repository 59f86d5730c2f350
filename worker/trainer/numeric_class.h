// The numeric class of a run: everything that decides the bits besides the job itself (design 0001,
// section 5). It is in every checkpoint; a run resumes with the same bits only in the same class.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "absl/status/statusor.h"
#include "vernier/v1/stage.pb.h"

namespace vernier::trainer {

struct NumericClass {
  std::string precision;  // fp32 | bf16
  int threads = 1;        // per rank
  std::string isa;        // what ATen dispatches to, e.g. AVX512, then +avx512_bf16 and +amx_bf16 if there
  std::string device;     // cpu:<vendor>-<family>-<model>: math libraries choose their kernels by it
  std::string torch;      // library version
  std::string binary;     // SHA-256 of this executable, first 16 digits

  // "precision=bf16 threads=2 isa=AVX512+amx_bf16 device=cpu:GenuineIntel-6-143 torch=2.15.0
  //  binary=0123456789abcdef"
  std::string ToString() const;
};

// The class of this process computing in `dtype` with `threads` threads.
NumericClass CurrentNumericClass(at::ScalarType dtype, int threads);

// True where the CPU computes bf16 products itself (avx512_bf16 or amx_bf16).
bool CpuComputesBf16();

struct PrecisionChoice {
  at::ScalarType dtype;
  std::string note;  // says what was chosen and why
};
// auto: bf16 where CpuComputesBf16(), else fp32. bf16 on a CPU that emulates it is allowed and said.
PrecisionChoice ChoosePrecision(v1::Precision precision);

// Sets LibTorch's threads (per operation `threads`, one between operations) and switches off what could make
// two runs differ. Call once, before any tensor work.
void ConfigureTorch(int threads);

}  // namespace vernier::trainer
