// The trainer's end of the stream to its agent (proto/vernier/v1/task.proto, TrainerService): events go up in
// the order they were reported, the task and stop requests come down.
//
// A trainer never outlives its agent: when the stream breaks before Finish, `on_broken` is called, and the
// process is expected to leave at once.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/mutex.h"
#include "vernier/v1/task.grpc.pb.h"
#include "worker/trainer/task_context.h"

namespace vernier::trainer {

// Thread-safe, but Finish is called once, by one thread, last.
class AgentLink final : public TaskContext {
 public:
  struct Options {
    std::string socket;  // path of the agent's Unix-domain socket
    std::string lease;
    absl::Duration dial_timeout = absl::Seconds(20);
    // Events that wait for the agent; a reporter waits while there are so many. Of waiting progress only the
    // newest is kept; nothing else is ever dropped.
    size_t max_waiting = 65536;
    // Called at most once, from the link's own thread, with what broke.
    std::function<void(const std::string& what)> on_broken;
  };

  // Dials, says hello and waits for the task. Unavailable: nobody answers there in time; or the agent's own
  // error (NotFound: it expects nobody under this lease).
  static absl::StatusOr<std::unique_ptr<AgentLink>> Attach(Options options);
  ~AgentLink() override;

  const v1::Task& task() const { return task_; }
  void Report(v1::TaskEvent event) override VN_EXCLUDES(mutex_);
  bool stop_requested() const override { return stop_requested_; }
  std::optional<v1::GenerateMore> AwaitMore() override VN_EXCLUDES(mutex_);
  int64_t interrupted_turn() const override { return interrupted_turn_; }
  // What a stop command does; also for signals.
  void RequestStop(const std::string& reason) VN_EXCLUDES(mutex_);

  // Reports `finished`, waits until the agent took everything and closed the stream. Unavailable,
  // DeadlineExceeded: it may not have.
  absl::Status Finish(v1::TaskFinished finished, absl::Time deadline) VN_EXCLUDES(mutex_);

 private:
  using Stream = grpc::ClientReaderWriter<v1::TrainerUp, v1::TrainerDown>;

  explicit AgentLink(Options options) : options_(std::move(options)) {}
  absl::Status Dial();
  void ReadCommands() VN_EXCLUDES(mutex_);
  void TakeMore(v1::GenerateMore more) VN_EXCLUDES(mutex_);
  void WriteEvents() VN_EXCLUDES(mutex_);
  void Push(v1::TaskEvent event) VN_REQUIRES(mutex_);

  const Options options_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::TrainerService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<Stream> stream_;
  v1::Task task_;
  std::atomic<bool> stop_requested_ = false;
  std::atomic<int64_t> interrupted_turn_ = 0;

  Mutex mutex_;
  CondVar changed_;
  std::deque<v1::TaskEvent> waiting_ VN_GUARDED_BY(mutex_);
  std::deque<v1::GenerateMore> requests_ VN_GUARDED_BY(mutex_);
  bool finishing_ VN_GUARDED_BY(mutex_) = false;  // no event comes after those that wait
  bool broken_ VN_GUARDED_BY(mutex_) = false;     // nothing can be sent any more
  bool read_all_ VN_GUARDED_BY(mutex_) = false;   // the agent closed the stream
  std::jthread reader_;
  std::jthread writer_;
};

}  // namespace vernier::trainer
