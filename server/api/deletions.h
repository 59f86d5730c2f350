// What is being deleted from the object store right now. Content-addressed things may come back while their
// old bytes go: a deletion begins, and a thing is registered, on the strand, and each looks for the other
// there.
#pragma once

#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/mutex.h"

namespace vernier::server {

// Keys and prefixes (ending in '/'). Thread-safe; Begin and Overlap on the strand.
class Deletions {
 public:
  // The caller made sure that nothing live is below `prefix`.
  void Begin(const std::string& prefix) VN_EXCLUDES(mutex_);
  void End(const std::string& prefix) VN_EXCLUDES(mutex_);
  // Whether something below `prefix`, or above it, is being deleted.
  bool Overlap(absl::string_view prefix) VN_EXCLUDES(mutex_);
  // Blocks until nothing does. DeadlineExceeded.
  absl::Status AwaitNone(absl::string_view prefix, absl::Time deadline) VN_EXCLUDES(mutex_);

 private:
  bool OverlapLocked(absl::string_view prefix) VN_REQUIRES(mutex_);

  Mutex mutex_;
  CondVar ended_;
  std::multiset<std::string> running_ VN_GUARDED_BY(mutex_);
};

}  // namespace vernier::server
