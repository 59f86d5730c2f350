// What this machine offers: CPU shares today, GPUs later.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "vernier/v1/agent_service.pb.h"

namespace vernier::agent {

// Threads that this process may use at once: its CPU affinity and its cgroup's quota, at least 1.
int UsableThreads();
// Bytes of memory that it may use: the machine's, or the least limit of its cgroups (any of those above it
// counts) and of its own (RLIMIT_AS, RLIMIT_DATA), which its trainers inherit.
int64_t UsableMemoryBytes();
// The least memory limit of the cgroups that `own` (the text of /proc/self/cgroup) names, mounted below
// `root`, version 1 or 2; INT64_MAX: none.
int64_t CgroupMemoryLimit(absl::string_view own, const std::string& root);

// Instruction set as far as it decides numbers: "avx512_bf16+amx", "avx512", "avx2" or "generic".
std::string CpuIsa();
bool CpuComputesBf16();

// One CPU device with `threads` threads (0 = all usable).
std::vector<v1::Device> DiscoverDevices(int threads);

// Resident memory of this process.
int64_t ResidentBytes();
// Space left for unprivileged users where `path` lies; -1 when unknown.
int64_t AvailableDiskBytes(const std::string& path);

}  // namespace vernier::agent
