// Time as an argument: everything that decides takes a `now`; only edges ask a Clock.
#pragma once

#include "absl/time/time.h"

namespace vernier {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() = 0;
};

// The system's clock. Lives for ever.
Clock& RealClock();

// A clock that moves only when told. Thread-compatible.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(absl::Time start = absl::FromUnixSeconds(1'700'000'000)) : now_(start) {}
  absl::Time Now() override { return now_; }
  void Advance(absl::Duration by) { now_ += by; }

 private:
  absl::Time now_;
};

}  // namespace vernier
