// The one thread on which Core lives. Faces and agent streams post work to it; effects leave it through a
// callback.
//
// Group commit: agent messages that have queued up are handed to Core together, so that they cost one
// transaction. Bounds: at most `max_queued` pieces of work wait; more is refused, so that no client can grow
// the queue. Clean-ups (PostAlways) are not refused: each belongs to something that was accepted.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "server/core.h"

namespace vernier::server {

// Thread-safe.
class Strand {
 public:
  using Task = absl::AnyInvocable<void(Core&, absl::Time now)>;

  struct Options {
    size_t max_queued = 10'000;
    // Called on the strand for every effect, in order. Must not block.
    std::function<void(Strand&, Core&, Effect&)> execute;
    // Called on the strand after each batch of work; may be unset. Must not block.
    std::function<void(Core&)> after_batch;
  };

  // Starts the thread. `clock` must outlive the strand.
  Strand(Options options, std::unique_ptr<Core> core, Clock& clock);
  ~Strand();  // Stop

  // Runs `task` soon. ResourceExhausted: too much waits; try again later. Unavailable: the server is
  // stopping.
  absl::Status Post(Task task) VN_EXCLUDES(mutex_);
  // Never refused; dropped once the strand has stopped.
  void PostAlways(Task task) VN_EXCLUDES(mutex_);
  // `done` runs on the strand once the message is part of Core's state.
  void PostAgentMessage(ConnectionId connection, v1::AgentMessage message, absl::AnyInvocable<void()> done)
      VN_EXCLUDES(mutex_);

  // Runs `ask` on the strand and waits for its answer (a Status or StatusOr, so that a refusal fits in). Not
  // from the strand's own thread.
  template <typename F, typename Answer = std::invoke_result_t<F, Core&, absl::Time>>
  Answer Call(F ask) {
    // Shared with the task, which may outlive a refused post.
    struct State {
      Mutex mutex;
      CondVar answered;
      std::unique_ptr<Answer> answer VN_GUARDED_BY(mutex);
    };
    const auto state = std::make_shared<State>();
    const absl::Status posted = Post([state, ask = std::move(ask)](Core& core, absl::Time now) mutable {
      auto answer = std::make_unique<Answer>(ask(core, now));
      const MutexLock lock(state->mutex);
      state->answer = std::move(answer);
      state->answered.NotifyAll();
    });
    if (!posted.ok()) return posted;
    const MutexLock lock(state->mutex);
    while (state->answer == nullptr) state->answered.Wait(state->mutex);
    return std::move(*state->answer);
  }

  // Refuses new work, runs what has been accepted, ends the thread. Idempotent.
  void Stop() VN_EXCLUDES(mutex_);

 private:
  struct AgentItem {
    ConnectionId connection;
    v1::AgentMessage message;
    absl::AnyInvocable<void()> done;
  };
  using Item = std::variant<Task, AgentItem>;

  void Run();
  void RunBatch(std::deque<Item> batch);
  absl::Time Now();  // of the clock, but never before an earlier answer

  const Options options_;
  const std::unique_ptr<Core> core_;  // touched by the strand's thread only
  Clock& clock_;
  absl::Time latest_ = absl::InfinitePast();

  Mutex mutex_;
  CondVar wake_;
  std::deque<Item> queue_ VN_GUARDED_BY(mutex_);
  bool stopping_ VN_GUARDED_BY(mutex_) = false;
  std::jthread thread_;
};

}  // namespace vernier::server
