#include "tests/testing/torch/counting_allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "common/check.h"

namespace vernier::testing {
namespace {

// Before each block, as far as its alignment goes, lies its size.
constexpr size_t kAlignment = 64;

std::atomic<int64_t> live = 0;
std::atomic<int64_t> peak = 0;

void Free(void* address) {
  if (address == nullptr) return;
  char* const block = static_cast<char*>(address) - kAlignment;
  live -= *reinterpret_cast<const int64_t*>(block);
  std::free(block);
}

class CountingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device cpu(c10::DeviceType::CPU);
    if (bytes == 0) return {nullptr, nullptr, &Free, cpu};
    const size_t whole = (bytes + 2 * kAlignment - 1) / kAlignment * kAlignment;
    char* const block = static_cast<char*>(std::aligned_alloc(kAlignment, whole));
    VN_CHECK(block != nullptr);
    *reinterpret_cast<int64_t*>(block) = static_cast<int64_t>(bytes);
    const int64_t now = live += static_cast<int64_t>(bytes);
    int64_t most = peak;
    while (now > most && !peak.compare_exchange_weak(most, now)) {
    }
    return {block + kAlignment, block + kAlignment, &Free, cpu};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &Free; }
  void copy_data(void* to, const void* from, size_t count) const override { std::memcpy(to, from, count); }
};

void Install() {
  // Never destroyed: tensors of static lifetime are freed through it.
  static const bool installed = [] {
    c10::SetCPUAllocator(new CountingAllocator(), /*priority=*/100);
    return true;
  }();
  VN_CHECK(installed);
}

}  // namespace

int64_t LiveTensorBytes() {
  Install();
  return live;
}

int64_t PeakTensorBytes() {
  Install();
  return peak;
}

void ResetPeakTensorBytes() {
  Install();
  peak = live.load();
}

}  // namespace vernier::testing
