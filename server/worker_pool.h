// A few threads for work that blocks: files, digests, imports. The queue is bounded.
#pragma once

#include <cstddef>
#include <deque>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/mutex.h"

namespace vernier::server {

// Thread-safe.
class WorkerPool {
 public:
  struct Options {
    int num_threads = 8;
    size_t max_queued = 1'000;
  };
  explicit WorkerPool(Options options);
  ~WorkerPool();  // drops what waits, waits for what runs

  // ResourceExhausted: too much waits. Unavailable: stopped.
  absl::Status Post(absl::AnyInvocable<void()> work) VN_EXCLUDES(mutex_);
  // Drops what waits; what runs gets until `deadline`. False: something still runs, and the destructor will
  // wait for it.
  bool StopBy(absl::Time deadline) VN_EXCLUDES(mutex_);

 private:
  void Run() VN_EXCLUDES(mutex_);

  const Options options_;
  Mutex mutex_;
  CondVar wake_;
  CondVar idle_;
  std::deque<absl::AnyInvocable<void()>> queue_ VN_GUARDED_BY(mutex_);
  int num_running_ VN_GUARDED_BY(mutex_) = 0;
  bool stopping_ VN_GUARDED_BY(mutex_) = false;
  std::vector<std::jthread> threads_;
};

}  // namespace vernier::server
