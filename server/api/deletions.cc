#include "server/api/deletions.h"

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace vernier::server {

void Deletions::Begin(const std::string& prefix) {
  const MutexLock lock(mutex_);
  running_.insert(prefix);
}

void Deletions::End(const std::string& prefix) {
  const MutexLock lock(mutex_);
  if (const auto found = running_.find(prefix); found != running_.end()) running_.erase(found);
  ended_.NotifyAll();
}

bool Deletions::OverlapLocked(absl::string_view prefix) {
  return absl::c_any_of(running_, [&](const std::string& running) {
    return absl::StartsWith(running, prefix) || absl::StartsWith(prefix, running);
  });
}

bool Deletions::Overlap(absl::string_view prefix) {
  const MutexLock lock(mutex_);
  return OverlapLocked(prefix);
}

absl::Status Deletions::AwaitNone(absl::string_view prefix, absl::Time deadline) {
  const MutexLock lock(mutex_);
  while (OverlapLocked(prefix)) {
    if (!ended_.WaitUntil(mutex_, deadline) && absl::Now() >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat(prefix, ": is still being deleted; try again in a moment"));
    }
  }
  return absl::OkStatus();
}

}  // namespace vernier::server
