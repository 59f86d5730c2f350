// How long a supervised process that ended is left alone before it is started again. A pure policy: the
// caller keeps the time.
#pragma once

#include "absl/time/time.h"

namespace vernier::client {

// Thread-compatible.
class RestartBackoff {
 public:
  // A process that ran this long was well: what comes after is its first failure.
  static constexpr absl::Duration kHealthy = absl::Seconds(10);
  static constexpr absl::Duration kLeast = absl::Milliseconds(200);
  static constexpr absl::Duration kMost = absl::Seconds(5);

  // The wait after a process ran for `ran`: none the first time, then twice the wait before, from kLeast to
  // kMost. `clean`: it left by itself, as when it was asked to; that is no failure, and makes later waits no
  // longer, but one that does so over and over does not spin.
  absl::Duration AfterExit(absl::Duration ran, bool clean);

 private:
  absl::Duration next_ = absl::ZeroDuration();
};

}  // namespace vernier::client
