// Which agents are there, over which connection, and what they have. Thread-compatible.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "scheduler/cluster_view.h"
#include "server/effects.h"
#include "vernier/v1/admin_service.pb.h"
#include "vernier/v1/agent_service.pb.h"

namespace vernier::server {

struct AgentSession {
  v1::AgentHello hello;         // without its leases
  ConnectionId connection = 0;  // 0 = none
  absl::Time last_heard;
  // Processes that lost this id to a newer one while they were connected: they may run on until their leases
  // lapse.
  std::deque<std::string> superseded;

  bool MayStillRun(absl::string_view incarnation) const;
};

class AgentTable {
 public:
  explicit AgentTable(int max_agents) : max_agents_(max_agents) {}

  struct Connected {
    AgentSession* session = nullptr;  // lives until the next Connect
    // The connection that this one replaces, and what to tell it.
    std::optional<CloseConnection> replaced;
  };
  // A newer process with the id of a connected one takes its place. InvalidArgument: the hello makes no
  // sense. FailedPrecondition: its id was taken by a newer process. ResourceExhausted: too many agents.
  absl::StatusOr<Connected> Connect(ConnectionId connection, const v1::AgentHello& hello, absl::Time now);
  // The agent that had it; none: it had been replaced.
  std::optional<std::string> Disconnect(ConnectionId connection);

  // Null: no such connection now.
  AgentSession* FindConnection(ConnectionId connection);
  // Null: not seen since the start.
  const AgentSession* Find(absl::string_view agent) const;
  // 0: not connected.
  ConnectionId ConnectionOf(absl::string_view agent) const;

  // Connected agents, in order of id.
  std::vector<scheduler::NodeView> Nodes() const;
  // All, in order of id; without their leases.
  std::vector<v1::Agent> List() const;
  int64_t num_connected() const;

 private:
  absl::Status MakeRoom();

  const int max_agents_;
  std::map<std::string, AgentSession, std::less<>> sessions_;  // by agent id
};

}  // namespace vernier::server
