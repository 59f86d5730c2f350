// Watches one agent from outside: what only a broken AgentMachine does is a violation, and what the server
// stored is safe.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "tests/simulation/world.h"
#include "vernier/v1/agent_service.pb.h"
#include "vernier/v1/task.pb.h"

namespace vernier::simulation {

// Thread-compatible.
class AgentAudit {
 public:
  AgentAudit(World& world, std::string process) : world_(world), process_(std::move(process)) {}

  // The machine is told next.
  void StreamBegins() { sent_.clear(); }
  void ShutsDown() { shut_down_ = true; }
  void Receives(const v1::ServerMessage& message);

  // The machine asked for it.
  void Sends(const v1::AgentMessage& message);
  void Starts(const std::string& lease, const v1::Task& task);
  void Stops(absl::string_view lease, absl::string_view reason);

  // After each round of effects. `not_stopping`: a lease whose task was not asked to stop, "" = none.
  void CarriedOut(absl::string_view not_stopping);
  // After each turn of its loop.
  void Turned(bool something_happened);
  // The machine says that it may go. `running`: a lease whose task runs, "" = none.
  void Leaves(bool connected, absl::string_view running);

 private:
  void Stored(const std::string& lease, int64_t up_to);
  void Forget(const std::string& lease);

  World& world_;
  const std::string process_;
  bool shut_down_ = false;
  int num_idle_turns_ = 0;
  std::map<std::string, std::string> started_;  // lease -> "jobs/ID stage"
  std::set<std::string> running_;               // leases that started, and whose end was not told yet
  std::set<std::string> too_late_;              // leases that were offered or committed after the shutdown
  std::map<std::string, int64_t> sent_;         // lease -> its newest event on this stream
  // Checkpoints (their steps) and ends (-1) that were sent and not stored yet, by lease and sequence.
  std::map<std::pair<std::string, int64_t>, int64_t> unstored_;
};

}  // namespace vernier::simulation
