// What an agent decides, as one state machine: (state, event, now) -> (state, effects). Sockets, processes,
// threads and the clock live at the edges (agent.h). Protocol: docs/design/0001-foundations.md, section 3.
//
// Leases    PrepareLease reserves, CommitLease starts the task, CancelLease forgets it or kills it. A lease
// that is not
//           renewed for its time to live is stopped (the task checkpoints and leaves) and soon after killed,
//           before the server may give it to somebody else.
// Events    Of one lease in order, numbered from 1 without gaps, kept until the server has stored them, sent
// again after
//           a reconnect. Progress that was not sent yet is overwritten by newer progress.
// Threading Thread-compatible: only the agent's loop calls it.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "vernier/v1/agent_service.pb.h"
#include "vernier/v1/task.pb.h"

namespace vernier::agent {

struct SendToServer {
  v1::AgentMessage message;
};
struct Reconnect {  // the stream is silent or refused: drop it and dial again
  std::string reason;
};
struct StartTask {
  std::string lease;
  v1::Task task;
};
struct StopTask {  // finish the step, checkpoint, leave
  std::string lease;
  std::string reason;
};
struct KillTask {
  std::string lease;
  std::string reason;
};
struct TellTask {  // a GenerateTask that is kept
  std::string lease;
  v1::GenerateMore more;
};
using Effect = std::variant<SendToServer, Reconnect, StartTask, StopTask, KillTask, TellTask>;

// How a task's process or thread ended, when it did not say so itself.
struct TaskExit {
  std::string message;  // "the trainer was killed by signal 9 ..."
};

class AgentMachine {
 public:
  struct Options {
    v1::AgentHello hello;  // id, incarnation, version, host, devices, isa; leases are filled in
    int max_leases = 64;   // held at a time; more are refused
    size_t max_unstored_events = 100'000;  // of one lease; beyond, its task is stopped
    // After a lease's time to live: from being asked to stop until being killed. The server waits longer (its
    // margin).
    double kill_margin = 0.2;  // of the time to live
  };
  explicit AgentMachine(Options options);

  // The stream to the server.
  void OnConnected(absl::Time now);
  void OnDisconnected(absl::Time now);
  void OnServerMessage(const v1::ServerMessage& message, absl::Time now);

  // From a task that StartTask started.
  void OnTaskEvent(absl::string_view lease, v1::TaskEvent event, absl::Time now);
  // The last thing heard of a task. Without a TaskFinished before it the task counts as killed.
  void OnTaskExit(absl::string_view lease, const TaskExit& exit, absl::Time now);

  // Asks every task to checkpoint and leave; no new lease is taken. Idempotent.
  void OnShutdown(absl::Time now);
  // True once nothing runs and the server has stored every event (or the stream is down).
  bool drained() const;

  void OnTick(absl::Time now);
  // When OnTick is next needed.
  absl::Time NextWakeup() const;

  // Facts that heartbeats carry.
  void SetFacts(int64_t available_disk_bytes, int64_t resident_bytes);

  std::vector<Effect> TakeEffects() { return std::exchange(effects_, {}); }

  bool connected() const { return welcomed_; }
  size_t num_leases() const { return leases_.size(); }

 private:
  enum class Phase { kPrepared, kRunning, kEnded };
  struct Lease {
    v1::Task task;
    Phase phase = Phase::kPrepared;
    absl::Time expiry;  // unless renewed
    bool stop_sent = false;
    bool kill_sent = false;
    std::string kill_reason;
    bool finished = false;             // TaskFinished is among the events
    std::deque<v1::TaskEvent> events;  // not stored by the server yet
    int64_t next_sequence = 1;         // of the next new event
    int64_t next_to_send = 1;
    int64_t first_unsent = 1;  // was on no stream so far
  };

  void Send(v1::AgentMessage message) { effects_.push_back(SendToServer{std::move(message)}); }
  void Welcome(const v1::Welcome& welcome, absl::Time now);
  void Prepare(const v1::PrepareLease& prepare, absl::Time now);
  void Commit(const std::string& id, absl::Time now);
  void Cancel(const std::string& id, absl::string_view reason, absl::Time now);
  void Stop(const std::string& id, absl::string_view reason);
  void GenerateMore(const v1::GenerateMore& more);
  void Ack(const v1::AckEvents& ack);
  void Kill(const std::string& id, Lease& lease, std::string reason);
  void Append(Lease& lease, v1::TaskEvent event, absl::Time now);
  void SendEvents(const std::string& id, Lease& lease);
  void ForgetIfDone(const std::string& id);
  // When the stream counts as dead unless the server answers.
  absl::Time SilentFrom() const;
  std::optional<std::string> RefusalOf(const v1::PrepareLease& prepare) const;

  Options options_;
  std::map<std::string, Lease> leases_;
  std::vector<Effect> effects_;
  bool stream_up_ = false;
  bool welcomed_ = false;
  bool shutting_down_ = false;
  absl::Duration ttl_ = absl::Seconds(15);
  absl::Duration heartbeat_ = absl::Seconds(5);
  absl::Time next_heartbeat_ = absl::InfiniteFuture();
  absl::Time last_heard_ = absl::InfinitePast();
  absl::Time hello_time_;
  std::deque<absl::Time> heartbeat_times_;  // sent, not answered yet
  int64_t available_disk_bytes_ = 0;
  int64_t resident_bytes_ = 0;
};

}  // namespace vernier::agent
