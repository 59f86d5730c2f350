// A bound on how many calls of a kind run at once.
#pragma once

#include <atomic>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace vernier::server {

// Thread-safe. The slots it gives may outlive it: work in a pool holds some when the service ends.
class Slots {
 public:
  // `what` names the calls in messages: "uploads".
  Slots(absl::string_view what, int count) : what_(what), count_(count) {}

  // Held until the last copy of the result goes. ResourceExhausted: all are taken.
  absl::StatusOr<std::shared_ptr<void>> Take() {
    if (taken_->fetch_add(1) < count_) {
      return std::shared_ptr<void>(nullptr, [taken = taken_](void*) { taken->fetch_sub(1); });
    }
    taken_->fetch_sub(1);
    return absl::ResourceExhaustedError(absl::StrCat(
        count_, " ", what_, " are in progress, the most there may be; try again once one has ended"));
  }

 private:
  const absl::string_view what_;
  const int count_;
  const std::shared_ptr<std::atomic<int>> taken_ = std::make_shared<std::atomic<int>>(0);
};

}  // namespace vernier::server
