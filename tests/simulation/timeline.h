// Virtual time: what is to happen, in order of when, then of when it was asked for.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "absl/time/time.h"

namespace vernier::simulation {

// Thread-compatible.
class Timeline {
 public:
  absl::Time now() const { return now_; }
  void At(absl::Time when, std::function<void()> what) {
    events_.emplace(std::pair(std::max(when, now_), ++last_), std::move(what));
  }
  void After(absl::Duration delay, std::function<void()> what) { At(now_ + delay, std::move(what)); }
  // False: nothing is left to happen.
  bool RunNext() {
    if (events_.empty()) return false;
    const auto first = events_.begin();
    now_ = first->first.first;
    const std::function<void()> what = std::move(first->second);
    events_.erase(first);
    what();
    return true;
  }

 private:
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  uint64_t last_ = 0;
  std::map<std::pair<absl::Time, uint64_t>, std::function<void()>> events_;
};

}  // namespace vernier::simulation
