// Runs closures one after the other on one thread: what a state machine needs at its edge.
#pragma once

#include <deque>
#include <functional>
#include <utility>

#include "common/mutex.h"

namespace vernier {

// Thread-safe, but RunPosted is called by the loop's one thread.
class EventLoop {
 public:
  // Never blocks. Closures run in the order they were posted; after Close they are dropped.
  void Post(std::function<void()> work) VN_EXCLUDES(mutex_) {
    {
      const MutexLock lock(mutex_);
      if (closed_) return;
      posted_.push_back(std::move(work));
    }
    wake_.NotifyOne();
  }

  // Waits until something was posted or `deadline` passed, then runs all that was posted by then (not what
  // that posts). Returns how many ran.
  size_t RunPosted(absl::Time deadline) VN_EXCLUDES(mutex_) {
    std::deque<std::function<void()>> work;
    {
      const MutexLock lock(mutex_);
      while (posted_.empty() && absl::Now() < deadline) wake_.WaitUntil(mutex_, deadline);
      work.swap(posted_);
    }
    for (std::function<void()>& run : work) run();
    return work.size();
  }

  void Close() VN_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    closed_ = true;
    posted_.clear();
  }

 private:
  Mutex mutex_;
  CondVar wake_;
  std::deque<std::function<void()>> posted_ VN_GUARDED_BY(mutex_);
  bool closed_ VN_GUARDED_BY(mutex_) = false;
};

}  // namespace vernier
