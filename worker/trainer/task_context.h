// What a running task may ask of the world around it: report events, learn that it should stop, reach the
// store.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "common/clock.h"
#include "storage/object_store.h"
#include "vernier/v1/task.pb.h"

namespace vernier::trainer {

// Thread-safe: checkpoints are reported from their own thread.
class TaskContext {
 public:
  virtual ~TaskContext() = default;
  // Sends `event` (sequence and time are filled in on the way). Never blocks for long.
  virtual void Report(v1::TaskEvent event) = 0;
  // True once the service asked the task to checkpoint and leave.
  virtual bool stop_requested() const = 0;
  // Of a GenerateTask that is kept. The next request; waits for it. Nullopt: a stop was requested, or this
  // world never asks on.
  virtual std::optional<v1::GenerateMore> AwaitMore() { return std::nullopt; }
  // The newest turn whose answers are no longer wanted; 0 = none.
  virtual int64_t interrupted_turn() const { return 0; }

  void ReportLog(absl::string_view level, absl::string_view message) {
    v1::TaskEvent event;
    event.mutable_log()->set_level(std::string(level));
    event.mutable_log()->set_message(std::string(message));
    Report(std::move(event));
  }
  void ReportProgress(const v1::Progress& progress) {
    v1::TaskEvent event;
    *event.mutable_progress() = progress;
    Report(std::move(event));
  }
};

// A finished task: what goes into TaskFinished besides the status.
struct TaskOutcome {
  bool stopped = false;  // left because it was asked to; the state is in the newest checkpoint
  int64_t step = 0;
  std::map<std::string, double> results;
};

}  // namespace vernier::trainer
