#include "worker/models/common/amx.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace vernier::models::amx {
namespace {

bool AskForTiles() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned kBf16 = 1u << 22, kTiles = 1u << 24;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
  if ((edx & (kBf16 | kTiles)) != (kBf16 | kTiles)) return false;
  if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")) {
    return false;
  }
  // The kernel keeps tile registers only for processes that asked: ARCH_REQ_XCOMP_PERM, XTILEDATA.
  return ::syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

}  // namespace

bool Available() {
  static const bool available = AskForTiles();
  return available;
}

}  // namespace vernier::models::amx
