#include "worker/trainer/numeric_class.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <cpuid.h>
#include <torch/version.h>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/file.h"
#include "worker/models/common/amx.h"

namespace vernier::trainer {
namespace {

const std::string& BinaryDigest() {
  static const std::string* const digest = [] {
    const auto self = MappedFile::Open("/proc/self/exe");
    return new std::string(self.ok() ? Sha256Hex(self->bytes()).substr(0, 16) : "unknown");
  }();
  return *digest;
}

// CPUID leaf 7: sub-leaf 1 EAX bit 5 is avx512_bf16.
bool HasAvx512Bf16() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & (1u << 5));
}

// "GenuineIntel-6-143": the math libraries choose kernels by vendor, family and model, too.
std::string CpuKind() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid(0, &eax, &ebx, &ecx, &edx)) return "unknown";
  std::string vendor;
  for (const unsigned word : {ebx, edx, ecx}) {
    for (int byte = 0; byte < 4; ++byte) vendor += static_cast<char>(word >> (8 * byte));
  }
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return vendor;
  unsigned family = (eax >> 8) & 0xf;
  unsigned model = (eax >> 4) & 0xf;
  if (family == 6 || family == 15) model |= ((eax >> 16) & 0xf) << 4;
  if (family == 15) family += (eax >> 20) & 0xff;
  return absl::StrCat(vendor, "-", family, "-", model);
}

}  // namespace

bool CpuComputesBf16() { return HasAvx512Bf16() || models::amx::Available(); }

std::string NumericClass::ToString() const {
  return absl::StrCat("precision=", precision, " threads=", threads, " isa=", isa, " device=", device,
                      " torch=", torch, " binary=", binary);
}

NumericClass CurrentNumericClass(at::ScalarType dtype, int threads) {
  NumericClass result;
  result.precision = dtype == at::kBFloat16 ? "bf16" : "fp32";
  result.threads = threads;
  // What the kernel lets us use, not what the processor has: our sums go by that.
  result.isa = absl::StrCat(at::get_cpu_capability(), HasAvx512Bf16() ? "+avx512_bf16" : "",
                            models::amx::Available() ? "+amx_bf16" : "");
  result.device = absl::StrCat("cpu:", CpuKind());
  result.torch = TORCH_VERSION;
  result.binary = BinaryDigest();
  return result;
}

PrecisionChoice ChoosePrecision(v1::Precision precision) {
  const bool native = CpuComputesBf16();
  switch (precision) {
    case v1::PRECISION_FP32:
      return {at::kFloat, "precision fp32, as asked"};
    case v1::PRECISION_BF16:
      return {at::kBFloat16, native ? "precision bf16, as asked"
                                    : "precision bf16, as asked; this CPU emulates it, fp32 would be faster"};
    default:
      return native ? PrecisionChoice{at::kBFloat16,
                                      "precision bf16 chosen: this CPU computes bf16 (set precision: fp32 to "
                                      "override)"}
                    : PrecisionChoice{at::kFloat, "precision fp32 chosen: this CPU does not compute bf16"};
  }
}

void ConfigureTorch(int threads) {
  at::set_num_threads(threads);
  at::set_num_interop_threads(1);
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
  at::globalContext().setDeterministicFillUninitializedMemory(false);
}

}  // namespace vernier::trainer
