// std::mutex and std::condition_variable with clang's thread-safety annotations.
// Not absl::Mutex: the distribution's Abseil is not built for ThreadSanitizer, which then reports false races.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "absl/time/clock.h"
#include "absl/time/time.h"

#if defined(__clang__)
#define VN_TS_(x) __attribute__((x))
#else
#define VN_TS_(x)
#endif
#define VN_CAPABILITY(x) VN_TS_(capability(x))
#define VN_SCOPED_CAPABILITY VN_TS_(scoped_lockable)
#define VN_GUARDED_BY(x) VN_TS_(guarded_by(x))
#define VN_REQUIRES(...) VN_TS_(requires_capability(__VA_ARGS__))
#define VN_EXCLUDES(...) VN_TS_(locks_excluded(__VA_ARGS__))
#define VN_ACQUIRE(...) VN_TS_(acquire_capability(__VA_ARGS__))
#define VN_RELEASE(...) VN_TS_(release_capability(__VA_ARGS__))
#define VN_NO_THREAD_SAFETY_ANALYSIS VN_TS_(no_thread_safety_analysis)

namespace vernier {

class VN_CAPABILITY("mutex") Mutex {
 public:
  void Lock() VN_ACQUIRE() { mutex_.lock(); }
  void Unlock() VN_RELEASE() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class VN_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) VN_ACQUIRE(mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() VN_RELEASE() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

class CondVar {
 public:
  void NotifyOne() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }
  void Wait(Mutex& mutex) VN_REQUIRES(mutex) VN_NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // False: `deadline` passed first. May wake without a notification: test the condition in a loop.
  bool WaitUntil(Mutex& mutex, absl::Time deadline) VN_REQUIRES(mutex) VN_NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const absl::Duration left = std::min(deadline - absl::Now(), absl::Hours(24));
    const auto outcome = condition_.wait_for(lock, absl::ToChronoNanoseconds(left));
    lock.release();
    return outcome == std::cv_status::no_timeout;
  }

 private:
  std::condition_variable condition_;
};

}  // namespace vernier
