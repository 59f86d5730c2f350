#include "client/restart_backoff.h"

#include <algorithm>

namespace vernier::client {

absl::Duration RestartBackoff::AfterExit(absl::Duration ran, bool clean) {
  if (ran >= kHealthy) next_ = absl::ZeroDuration();
  const absl::Duration wait = next_;
  next_ = clean ? std::max(next_, kLeast) : std::clamp(next_ * 2, kLeast, kMost);
  return wait;
}

}  // namespace vernier::client
