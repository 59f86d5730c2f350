// What this machine offers: CPU shares today, GPUs later.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vernier/v1/agent_service.pb.h"

namespace vernier::agent {

// Threads that this process may use at once: its CPU affinity and its cgroup's quota, at least 1.
int UsableThreads();
// Bytes of memory it may use: the machine's, or its cgroup's limit where that is lower.
int64_t UsableMemoryBytes();

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
