// A TrainerService in the agent's place: hands out one task, records what comes back.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/mutex.h"
#include "vernier/v1/task.grpc.pb.h"

namespace vernier::trainer {

inline constexpr char kLease[] = "lease-1";

// Serves one trainer at a time. Thread-safe.
class FakeAgent final : public v1::TrainerService::Service {
 public:
  explicit FakeAgent(std::string socket) : socket_(std::move(socket)) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket_, grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~FakeAgent() override { Vanish(); }

  grpc::Status Attach(grpc::ServerContext* context,
                      grpc::ServerReaderWriter<v1::TrainerDown, v1::TrainerUp>* stream) override {
    v1::TrainerUp up;
    if (!stream->Read(&up) || !up.has_hello()) return {grpc::StatusCode::INVALID_ARGUMENT, "no hello"};
    if (up.hello().lease() != kLease) return {grpc::StatusCode::NOT_FOUND, "no task waits under this lease"};
    v1::TrainerDown down;
    {
      const MutexLock lock(mutex_);
      *down.mutable_task() = task_;
    }
    stream->Write(down);
    for (const v1::GenerateMore& more : more_) {
      *down.mutable_more() = more;
      stream->Write(down);
    }
    while (stream->Read(&up)) {
      const v1::TaskEvent& event = up.event();
      bool stop = false;
      {
        const MutexLock lock(mutex_);
        events_.push_back(event);
        stop = stop_at_step_ >= 0 && event.has_metric() && event.metric().step() == stop_at_step_;
      }
      changed_.NotifyAll();
      if (stop) {
        down.mutable_stop()->set_reason("the test says so");
        stream->Write(down);
      }
    }
    return grpc::Status::OK;
  }

  void SetTask(v1::Task task) {
    const MutexLock lock(mutex_);
    task_ = std::move(task);
  }
  // Told right after the task. Call before a trainer attaches.
  void TellMore(std::vector<v1::GenerateMore> more) { more_ = std::move(more); }
  void StopAtStep(int64_t step) {
    const MutexLock lock(mutex_);
    stop_at_step_ = step;
  }
  // Breaks the stream.
  void Vanish() {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    server_ = nullptr;
  }
  // Waits until a metric of `step` came; false: not within a minute.
  bool WaitForStep(int64_t step) {
    const absl::Time deadline = absl::Now() + absl::Minutes(1);
    const MutexLock lock(mutex_);
    while (absl::Now() < deadline) {
      for (const v1::TaskEvent& event : events_) {
        if (event.has_metric() && event.metric().step() >= step) return true;
      }
      changed_.WaitUntil(mutex_, deadline);
    }
    return false;
  }
  std::vector<v1::TaskEvent> events() {
    const MutexLock lock(mutex_);
    return events_;
  }
  // The last event when it is TaskFinished.
  v1::TaskFinished finished() {
    const std::vector<v1::TaskEvent> all = events();
    EXPECT_FALSE(all.empty());
    EXPECT_TRUE(!all.empty() && all.back().has_finished());
    return all.empty() ? v1::TaskFinished() : all.back().finished();
  }
  template <typename Member>
  std::vector<v1::TaskEvent> Where(Member has) {
    std::vector<v1::TaskEvent> found;
    for (const v1::TaskEvent& event : events()) {
      if ((event.*has)()) found.push_back(event);
    }
    return found;
  }
  const std::string& socket() const { return socket_; }

 private:
  const std::string socket_;
  std::vector<v1::GenerateMore> more_;
  std::unique_ptr<grpc::Server> server_;
  Mutex mutex_;
  CondVar changed_;
  v1::Task task_ VN_GUARDED_BY(mutex_);
  int64_t stop_at_step_ VN_GUARDED_BY(mutex_) = -1;
  std::vector<v1::TaskEvent> events_ VN_GUARDED_BY(mutex_);
};

}  // namespace vernier::trainer
