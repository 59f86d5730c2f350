#include "worker/agent/devices.h"

#include <cpuid.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
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

constexpr char kCgroupRoot[] = "/sys/fs/cgroup";
constexpr char kOwnCgroups[] = "/proc/self/cgroup";

std::string ReadOrEmpty(const std::string& path) {
  const auto text = ReadFile(path, 1 << 16);
  return text.ok() ? *text : "";
}

// First lines of the file `name` in the cgroup at `path` below `root`, and in all above it.
void AddUpwards(const std::string& root, absl::string_view path, absl::string_view name,
                std::vector<std::string>& lines) {
  while (true) {
    const std::string text = ReadOrEmpty(absl::StrCat(root, path, "/", name));
    if (!text.empty()) lines.push_back(text.substr(0, text.find('\n')));
    if (path.empty() || path == "/") return;
    path = path.substr(0, path.rfind('/'));
  }
}

// Of every hierarchy that `own` (/proc/self/cgroup) names: "0::/a/b" is version 2, where the file is
// `unified`; "4:memory:/a/b" version 1, where the controller's is `name`.
std::vector<std::string> CgroupLines(absl::string_view own, const std::string& root,
                                     absl::string_view controller, absl::string_view name,
                                     absl::string_view unified) {
  std::vector<std::string> lines;
  for (const absl::string_view line : absl::StrSplit(own, '\n')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    if (parts[0] == "0" && parts[1].empty()) {
      AddUpwards(root, parts[2], unified, lines);
      AddUpwards(root + "/unified", parts[2], unified, lines);
      continue;
    }
    for (const absl::string_view each : absl::StrSplit(parts[1], ',')) {
      if (each == controller) AddUpwards(absl::StrCat(root, "/", controller), parts[2], name, lines);
    }
  }
  return lines;
}

int64_t LimitOf(int resource) {
  rlimit limit;
  if (::getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return INT64_MAX;
  return static_cast<int64_t>(std::min<rlim_t>(limit.rlim_cur, INT64_MAX));
}

}  // namespace

int UsableThreads() {
  cpu_set_t set;
  int threads = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : get_nprocs();
  // cpu.max is "max 100000" or "<quota> <period>" in microseconds.
  for (const std::string& line :
       CgroupLines(ReadOrEmpty(kOwnCgroups), kCgroupRoot, /*controller=*/"", "", "cpu.max")) {
    const std::vector<std::string> quota = absl::StrSplit(line, ' ');
    double used = 0, period = 0;
    if (quota.size() >= 2 && absl::SimpleAtod(quota[0], &used) && absl::SimpleAtod(quota[1], &period) &&
        period > 0) {
      threads = std::min(threads, std::max(1, static_cast<int>(used / period)));
    }
  }
  return std::max(1, threads);
}

int64_t CgroupMemoryLimit(absl::string_view own, const std::string& root) {
  int64_t least = INT64_MAX;
  for (const std::string& line : CgroupLines(own, root, "memory", "memory.limit_in_bytes", "memory.max")) {
    int64_t limit = 0;  // "max" is none
    if (absl::SimpleAtoi(line, &limit) && limit > 0) least = std::min(least, limit);
  }
  return least;
}

int64_t UsableMemoryBytes() {
  const int64_t machine = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE);
  return std::min({machine, CgroupMemoryLimit(ReadOrEmpty(kOwnCgroups), kCgroupRoot), LimitOf(RLIMIT_AS),
                   LimitOf(RLIMIT_DATA)});
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
