#include "server/worker_pool.h"

#include <utility>

namespace vernier::server {

WorkerPool::WorkerPool(Options options) : options_(options) {
  for (int i = 0; i < options_.num_threads; ++i) threads_.emplace_back([this] { Run(); });
}

WorkerPool::~WorkerPool() {
  StopBy(absl::InfiniteFuture());
  threads_.clear();  // joins
}

absl::Status WorkerPool::Post(absl::AnyInvocable<void()> work) {
  {
    const MutexLock lock(mutex_);
    if (stopping_) return absl::UnavailableError("vernierd is stopping; try again once it is back");
    if (queue_.size() >= options_.max_queued) {
      return absl::ResourceExhaustedError(
          "vernierd has more transfers waiting than it takes; try again in a moment");
    }
    queue_.push_back(std::move(work));
  }
  wake_.NotifyOne();
  return absl::OkStatus();
}

bool WorkerPool::StopBy(absl::Time deadline) {
  std::deque<absl::AnyInvocable<void()>> dropped;  // destroyed outside the lock: closures own streams
  const MutexLock lock(mutex_);
  stopping_ = true;
  dropped.swap(queue_);
  wake_.NotifyAll();
  while (num_running_ > 0 && absl::Now() < deadline) idle_.WaitUntil(mutex_, deadline);
  return num_running_ == 0;
}

void WorkerPool::Run() {
  while (true) {
    absl::AnyInvocable<void()> work;
    {
      const MutexLock lock(mutex_);
      while (queue_.empty() && !stopping_) wake_.Wait(mutex_);
      if (stopping_) return;
      work = std::move(queue_.front());
      queue_.pop_front();
      ++num_running_;
    }
    work();
    work = nullptr;
    const MutexLock lock(mutex_);
    if (--num_running_ == 0) idle_.NotifyAll();
  }
}

}  // namespace vernier::server
