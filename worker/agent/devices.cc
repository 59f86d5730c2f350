#include "worker/agent/devices.h"

#include <cpuid.h>
#include <sched.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/file.h"

namespace vernier::agent {
namespace {

struct Cpuid7 {
  unsigned ebx0 = 0, edx0 = 0, eax1 = 0;
};

Cpuid7 ReadCpuid7() {
  Cpuid7 leaf;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
    leaf.ebx0 = ebx;
    leaf.edx0 = edx;
  }
  if (__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) leaf.eax1 = eax;
  return leaf;
}

bool HasAvx512Bf16(const Cpuid7& leaf) { return leaf.eax1 & (1u << 5); }
bool HasAmxBf16(const Cpuid7& leaf) { return leaf.edx0 & (1u << 22); }

// A file of this process's cgroup (version 2); "" when there is none.
std::string CgroupFile(const char* name) {
  const auto self = ReadFile("/proc/self/cgroup", 1 << 16);
  if (!self.ok()) return "";
  for (const absl::string_view line : absl::StrSplit(*self, '\n')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3 || parts[0] != "0") continue;
    const auto text = ReadFile(std::string("/sys/fs/cgroup") + std::string(parts[2]) + "/" + name, 1 << 16);
    if (text.ok()) return *text;
  }
  return "";
}

}  // namespace

int UsableThreads() {
  cpu_set_t set;
  int threads = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : get_nprocs();
  // cpu.max is "max 100000" or "<quota> <period>" in microseconds.
  const std::vector<std::string> quota = absl::StrSplit(CgroupFile("cpu.max"), absl::ByAnyChar(" \n"));
  double used = 0, period = 0;
  if (quota.size() >= 2 && absl::SimpleAtod(quota[0], &used) && absl::SimpleAtod(quota[1], &period) &&
      period > 0) {
    threads = std::min(threads, std::max(1, static_cast<int>(used / period)));
  }
  return std::max(1, threads);
}

int64_t UsableMemoryBytes() {
  int64_t bytes = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE);
  int64_t limit = 0;
  const std::string text = CgroupFile("memory.max");
  if (absl::SimpleAtoi(absl::string_view(text).substr(0, text.find('\n')), &limit) && limit > 0) {
    bytes = std::min(bytes, limit);
  }
  return bytes;
}

bool CpuComputesBf16() {
  const Cpuid7 leaf = ReadCpuid7();
  return HasAvx512Bf16(leaf) || HasAmxBf16(leaf);
}

std::string CpuIsa() {
  const Cpuid7 leaf = ReadCpuid7();
  // EBX bit 16 is avx512f, bit 5 avx2.
  std::string isa = HasAvx512Bf16(leaf)        ? "avx512_bf16"
                    : (leaf.ebx0 & (1u << 16)) ? "avx512"
                    : (leaf.ebx0 & (1u << 5))  ? "avx2"
                                               : "generic";
  if (HasAmxBf16(leaf)) isa += "+amx";
  return isa;
}

std::vector<v1::Device> DiscoverDevices(int threads) {
  v1::Device device;
  device.set_id("cpu");
  device.set_kind("cpu");
  device.set_threads(threads > 0 ? threads : UsableThreads());
  device.set_memory_bytes(UsableMemoryBytes());
  device.set_bf16(CpuComputesBf16());
  return {device};
}

int64_t ResidentBytes() {
  const auto text = ReadFile("/proc/self/statm", 4096);
  if (!text.ok()) return 0;
  const std::vector<absl::string_view> fields = absl::StrSplit(*text, ' ');
  int64_t pages = 0;
  if (fields.size() < 2 || !absl::SimpleAtoi(fields[1], &pages)) return 0;
  return pages * sysconf(_SC_PAGE_SIZE);
}

int64_t AvailableDiskBytes(const std::string& path) {
  struct statvfs info;
  if (::statvfs(path.c_str(), &info) != 0) return -1;
  return static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
}

}  // namespace vernier::agent
