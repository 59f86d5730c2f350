// The edge of a simulated agent: the real AgentMachine, fed and obeyed as worker/agent/agent.cc does it (the
// loop), with the network for worker/agent/server_link.cc and SimTask for worker/agent/task_runner.cc.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/effects.h"
#include "tests/simulation/agent_audit.h"
#include "tests/simulation/sim_task.h"
#include "tests/simulation/world.h"
#include "vernier/v1/agent_service.pb.h"
#include "worker/agent/agent_machine.h"

namespace vernier::simulation {

// One process. A restart is a new SimAgent with the same id, which is all that is kept. Thread-compatible.
class SimAgent : public std::enable_shared_from_this<SimAgent> {
 public:
  // The way to the server, for this process.
  struct Uplink {
    std::function<server::ConnectionId()> dial;  // a new stream; how it goes is told by Receive and Closed
    std::function<void(server::ConnectionId, v1::AgentMessage)> send;
    std::function<void(server::ConnectionId)> hang_up;
  };

  SimAgent(World& world, std::string id, std::string host, Uplink uplink);

  void Start() { Dial(); }
  // kill -9: trainers die with it.
  void Crash() { Exit(); }
  // SIGTERM: tasks are asked to stop, and get a while for it.
  void ShutDown();

  bool alive() const { return alive_; }
  // It is on its way out: another took its id, or it was asked to go.
  bool leaving() const { return leaving_; }
  const std::string& id() const { return id_; }
  server::ConnectionId connection() const { return connection_; }
  const std::string& host() const { return host_; }
  size_t num_leases() const { return machine_.num_leases(); }

  void Receive(server::ConnectionId connection, const v1::ServerMessage& message);
  // The stream ended. FailedPrecondition and InvalidArgument: for good.
  void Closed(server::ConnectionId connection, const absl::Status& reason);

 private:
  // The clock of its machine: another zero, another rate.
  absl::Time Local(absl::Time when) const;
  absl::Time FromLocal(absl::Time local) const;

  // The link.
  void Dial();
  void Send(v1::AgentMessage message);
  void HangUp();

  // The loop.
  void Post(std::function<void()> work);
  void WakeAt(absl::Time when);
  void Turn();
  // True: it had effects.
  bool Tick();
  bool CarryOut();
  void Do(agent::SendToServer& effect) { Send(std::move(effect.message)); }
  void Do(agent::Reconnect&) { HangUp(); }
  void Do(agent::StartTask& effect);
  void Do(agent::StopTask& effect);
  void Do(agent::KillTask& effect);
  void Do(agent::TellTask&) {}  // nobody converses here
  void Exit();

  World& world_;
  const std::string id_;
  const std::string host_;
  const std::string process_;  // id and incarnation
  const Uplink uplink_;
  const absl::Time born_;
  const absl::Duration clock_offset_;
  const double clock_rate_;
  const absl::Duration stop_grace_;
  bool alive_ = true;
  bool leaving_ = false;

  server::ConnectionId connection_ = 0;  // of the link; 0 = it waits before it dials
  absl::Time dialled_;
  absl::Duration redial_delay_;
  bool welcomed_ = false;  // on this connection

  AgentAudit audit_;
  agent::AgentMachine machine_;
  server::ConnectionId stream_ = 0;  // of the link, as the machine knows it
  std::deque<std::function<void()>> posted_;
  absl::Time next_turn_ = absl::InfiniteFuture();
  absl::Time busy_until_ = absl::InfinitePast();
  absl::Time give_up_ = absl::InfiniteFuture();
  std::map<std::string, std::shared_ptr<SimTask>> tasks_;  // by lease
};

}  // namespace vernier::simulation
