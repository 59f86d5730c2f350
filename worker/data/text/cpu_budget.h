// A limit on the CPU time that one piece of work may take on its thread.
#pragma once

#include <ctime>

#include "absl/time/time.h"

namespace vernier::data {

// Thread-compatible; asked on the thread that made it.
class CpuBudget {
 public:
  explicit CpuBudget(absl::Duration limit) : limit_(limit), start_(Now(CLOCK_THREAD_CPUTIME_ID)) {}

  // Cheap enough for inner loops: a few nanoseconds.
  bool Spent() {
    // The coarse clock needs no system call; only when it has moved is the thread's own clock asked.
    const absl::Duration tick = Now(CLOCK_MONOTONIC_COARSE);
    if (tick == last_tick_) return spent_;
    last_tick_ = tick;
    return spent_ = Now(CLOCK_THREAD_CPUTIME_ID) - start_ > limit_;
  }
  absl::Duration limit() const { return limit_; }

 private:
  static absl::Duration Now(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return absl::DurationFromTimespec(now);
  }

  const absl::Duration limit_;
  const absl::Duration start_;
  absl::Duration last_tick_;
  bool spent_ = false;
};

}  // namespace vernier::data
