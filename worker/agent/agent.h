// The agent's edge: one loop that feeds AgentMachine and carries out its effects.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/event_loop.h"
#include "common/file_lock.h"
#include "common/metrics_http.h"
#include "worker/agent/agent_machine.h"
#include "worker/agent/metrics.h"
#include "worker/agent/server_link.h"
#include "worker/agent/task_runner.h"

namespace vernier::agent {

class Agent {
 public:
  struct Options {
    std::string data_dir;  // agent_id, run/, logs/, tmp/, metrics_endpoint; made 0700
    ServerLink::Options server;
    std::string trainer_path;
    int threads = 0;                                // of its CPU device; 0 = all usable
    std::string metrics_listen;                     // host:port; "" = no metrics
    absl::Duration stop_grace = absl::Seconds(60);  // for tasks to checkpoint after Shutdown
  };

  // FailedPrecondition: another agent runs on this data dir.
  static absl::StatusOr<std::unique_ptr<Agent>> Create(Options options);
  ~Agent();

  // Works until Shutdown was asked for and tasks have left (or the grace passed). Call once.
  // The server's word when it refused this agent for good.
  absl::Status Run();
  // Thread-safe and idempotent.
  void Shutdown();

 private:
  explicit Agent(Options options);
  absl::Status Init();
  void CarryOut();
  void UpdateFacts(absl::Time now);

  const Options options_;
  std::optional<FileLock> lock_;
  EventLoop loop_;
  Metrics metrics_;
  std::unique_ptr<MetricsHttp> metrics_http_;  // null: they are not served
  std::unique_ptr<AgentMachine> machine_;
  std::unique_ptr<TaskRunner> runner_;
  std::unique_ptr<ServerLink> link_;
  absl::Status refusal_;
  int64_t stream_ = 0;  // of the link, as the machine knows it
  absl::Time next_facts_ = absl::InfinitePast();
  absl::Time give_up_ = absl::InfiniteFuture();
};

}  // namespace vernier::agent
