// A model of vernier-agent and its trainers, as far as vernierd can see them: leases in two phases,
// heartbeats, events in sequence until acknowledged, and death before a lease can be given away.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "server/effects.h"
#include "tests/simulation/world.h"
#include "vernier/v1/agent_service.pb.h"

namespace vernier::simulation {

// One process. A restart is a new SimAgent with the same id.
class SimAgent : public std::enable_shared_from_this<SimAgent> {
 public:
  // The way to the server, for this process.
  struct Uplink {
    // A new connection; the server sees the hello when it arrives. Returns its id, 0 = the server is down.
    std::function<server::ConnectionId(const v1::AgentHello&)> dial;
    std::function<void(server::ConnectionId, v1::AgentMessage)> send;
  };

  SimAgent(World& world, std::string id, Uplink uplink);

  void Start();
  // kill -9: trainers die with it.
  void Crash();
  // SIGTERM: tasks are asked to stop.
  void ShutDown();
  bool alive() const { return alive_; }
  // It is on its way out: another took its id, or it was asked to go.
  bool leaving() const { return leaving_; }
  const std::string& id() const { return id_; }
  server::ConnectionId connection() const { return connection_; }

  void Receive(server::ConnectionId connection, const v1::ServerMessage& message);
  // The stream ended. FailedPrecondition: for good.
  void Closed(server::ConnectionId connection, const absl::Status& reason);

 private:
  struct Lease {
    v1::PrepareLease prepare;
    bool committed = false;
    bool started = false;  // its trainer runs
    bool finished = false;
    bool stop = false;
    absl::Time valid_until;
    std::deque<v1::TaskEvent> unacknowledged;
    int64_t next_sequence = 1;
    int64_t step = 0;
    std::map<int64_t, int64_t> checkpoint_events;  // sequence -> step
  };
  using Leases = std::map<std::string, Lease>;

  // Runs `what` after `delay` if this process still lives.
  void After(absl::Duration delay, std::function<void()> what);
  // Likewise, if it still holds the lease.
  void AfterFor(const std::string& lease, absl::Duration delay, std::function<void(Lease&)> what);

  void Dial();
  void Welcome(const v1::Welcome& welcome);
  void Beat();
  void Prepare(const v1::PrepareLease& prepare);
  void Commit(const std::string& lease);
  void Drop(const std::string& lease);   // and kill what runs under it
  void Watch(const std::string& lease);  // kills it when it lapses

  void Say(Lease& lease, v1::TaskEvent event);
  void Finish(Lease& lease, v1::TaskFinished finished);
  void StopTrainer(Lease& lease);

  void RunPrepare(Lease& lease);
  void RunTraining(Lease& lease);
  void RunEvaluate(Lease& lease);
  void TrainStep(Lease& lease);
  void WriteCheckpoint(Lease& lease, std::function<void(Lease&)> then);
  bool Fails(Lease& lease);

  std::string StageOf(const Lease& lease) const;
  bool OnDevice(const Lease& lease) const { return !lease.prepare.task().has_prepare(); }

  World& world_;
  const std::string id_;
  const std::string process_;  // id and incarnation
  const Uplink uplink_;
  bool alive_ = true;
  bool banned_ = false;
  bool leaving_ = false;
  bool welcomed_ = false;
  server::ConnectionId connection_ = 0;
  absl::Time hello_time_;
  std::deque<absl::Time> beats_;  // sent, not answered
  absl::Duration ttl_ = absl::Seconds(15);
  absl::Duration heartbeat_ = absl::Seconds(5);
  Leases leases_;
};

// What a stage of the simulation computes, whatever interrupted it.
inline constexpr int64_t kTotalSteps = 30;
inline double LossAt(int64_t step) { return 10.0 / static_cast<double>(step); }

}  // namespace vernier::simulation
