#include "worker/trainer/lanes.h"

#include <ATen/Parallel.h>

#include <algorithm>

namespace vernier::trainer {

Lanes::~Lanes() {
  {
    const MutexLock lock(mutex_);
    stop_ = true;
  }
  begun_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
}

void Lanes::Run(int count, const std::function<void(int)>& body) {
  if (count == 1) {
    body(0);
    return;
  }
  const int torch_threads = at::get_num_threads();
  Start(count);
  std::exception_ptr error;
  {
    const MutexLock lock(mutex_);
    body_ = &body;
    count_ = running_ = count;
    torch_threads_ = std::max(1, torch_threads / count);
    errors_.assign(count, nullptr);
    ++call_;
    begun_.NotifyAll();
    while (running_ > 0) ended_.Wait(mutex_);
    for (const std::exception_ptr& each : errors_) {
      if (each != nullptr && error == nullptr) error = each;
    }
  }
  // A lane's setting is its thread's, but LibTorch also keeps it for threads to come.
  at::set_num_threads(torch_threads);
  if (error != nullptr) std::rethrow_exception(error);
}

void Lanes::Start(int count) {
  while (static_cast<int>(threads_.size()) < count) {
    const int lane = static_cast<int>(threads_.size());
    threads_.emplace_back([this, lane] { Work(lane); });
  }
}

void Lanes::Work(int lane) {
  // A thread's first question sets it up; a number set before that would be lost.
  int torch_threads = at::get_num_threads();
  int64_t done = 0;
  while (true) {
    const std::function<void(int)>* body = nullptr;
    int wanted = 0;
    {
      const MutexLock lock(mutex_);
      while (!stop_ && (call_ == done || lane >= count_)) {
        if (call_ != done) done = call_;
        begun_.Wait(mutex_);
      }
      if (stop_) return;
      done = call_;
      body = body_;
      wanted = torch_threads_;
    }
    if (wanted != torch_threads) at::set_num_threads(wanted);
    torch_threads = wanted;
    std::exception_ptr error;
    try {
      (*body)(lane);
    } catch (...) {
      error = std::current_exception();
    }
    const MutexLock lock(mutex_);
    errors_[lane] = error;
    if (--running_ == 0) ended_.NotifyAll();
  }
}

}  // namespace vernier::trainer
