// The streams between agents and vernierd. Each keeps its order; what goes wrong on the way is in Faults.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "server/effects.h"
#include "tests/simulation/sim_agent.h"
#include "tests/simulation/world.h"
#include "vernier/v1/agent_service.pb.h"

namespace vernier::simulation {

// Thread-compatible.
class Network {
 public:
  // What vernierd's end of a stream is told, as by server/api/agent_streams.cc.
  struct ServerEnd {
    std::function<void(server::ConnectionId, const v1::AgentHello&)> connected;
    std::function<void(server::ConnectionId, const v1::AgentMessage&)> message;
    std::function<void(server::ConnectionId)> disconnected;
  };
  Network(World& world, ServerEnd server_end) : world_(world), server_end_(std::move(server_end)) {}

  server::ConnectionId Dial(const std::shared_ptr<SimAgent>& agent, bool server_is_up);
  void SendUp(server::ConnectionId connection, v1::AgentMessage message);
  void SendDown(server::ConnectionId connection, v1::ServerMessage message);
  // What is under way on it is lost; both sides learn of it in their own time.
  void Break(server::ConnectionId connection, const absl::Status& reason);
  void BreakAll(const absl::Status& reason);
  // The agent's end is gone, or does not want it any more: only vernierd has to learn of it.
  void HangUp(server::ConnectionId connection);

  // Nothing to or from this agent arrives before.
  void HoldUp(const std::string& agent, absl::Time until) { held_up_[agent] = until; }
  void HoldDown(const std::string& agent, absl::Time until) { held_down_[agent] = until; }

  // Null: the connection broke.
  std::shared_ptr<SimAgent> AgentOf(server::ConnectionId connection) const;

 private:
  using Held = std::map<std::string, absl::Time>;  // agent id -> until
  struct Wire {
    std::shared_ptr<SimAgent> agent;
    bool said_hello = false;  // and it has arrived
    absl::Time up, down;      // of the newest delivery each way
  };

  void Arrive(server::ConnectionId connection, const v1::AgentMessage& message);
  void DeliverDown(server::ConnectionId connection, absl::Time when, v1::ServerMessage message);
  absl::Time WhenFree(const Held& held, const std::string& agent, absl::Time when) const;
  // Takes the wire out and lets vernierd learn of it.
  std::shared_ptr<SimAgent> Cut(server::ConnectionId connection);

  World& world_;
  const ServerEnd server_end_;
  server::ConnectionId last_connection_ = 0;
  std::map<server::ConnectionId, Wire> wires_;
  Held held_up_, held_down_;
};

}  // namespace vernier::simulation
