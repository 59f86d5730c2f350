// The real control plane (server/core.h) with simulated agents, network, users and faults on virtual time.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "server/core.h"
#include "server/jobs/memory_job_store.h"
#include "tests/simulation/sim_agent.h"
#include "tests/simulation/world.h"

namespace vernier::simulation {

// Thread-compatible.
class Cluster {
 public:
  struct Options {
    uint64_t seed = 0;
    int num_agents = 3;
    int num_jobs = 6;
    Faults faults;
    scheduler::LeaseTable::Options lease;
    absl::Duration trouble = absl::Minutes(4);  // faults and users' whims happen for so long
  };
  explicit Cluster(Options options);
  ~Cluster();

  // Until every job has ended. False: it did not come to that within hours of virtual time.
  bool Run();

  World& world() { return world_; }
  server::Core& core() { return *core_; }
  // What each job was told last.
  struct Wish {
    bool cancelled = false;
  };
  const std::map<std::string, Wish>& jobs() const { return jobs_; }

 private:
  struct Wire {
    std::shared_ptr<SimAgent> agent;
    bool server_open = true;  // the server has not been told of its end
    absl::Time up, down;      // of the newest delivery each way: a stream keeps its order
  };

  void StartServer();
  void StopServer();
  void StartAgent(const std::string& id);
  void Deliver();  // the core's effects
  void Execute(const server::Effect& effect);
  void DeleteObjects(const std::string& prefix);

  server::ConnectionId Dial(const std::shared_ptr<SimAgent>& agent, const v1::AgentHello& hello);
  void SendUp(server::ConnectionId connection, v1::AgentMessage message);
  void SendDown(server::ConnectionId connection, v1::ServerMessage message);
  // When a message sent now arrives, after those before it and not during a partition.
  absl::Time Arrival(const Wire& wire, absl::Time& newest);
  void Break(server::ConnectionId connection, const absl::Status& reason);

  void Trouble();
  void Whims();
  void SubmitOne();
  bool AllEnded() const;
  bool HasAgent(const std::string& id) const;

  const Options options_;
  World world_;
  server::MemoryJobStore store_;
  server::Core::Options core_options_;
  std::unique_ptr<server::Core> core_;  // null: vernierd is down
  absl::Time wakeup_ = absl::InfiniteFuture();
  server::ConnectionId last_connection_ = 0;
  std::map<server::ConnectionId, Wire> wires_;
  std::vector<std::shared_ptr<SimAgent>> agents_;
  std::map<std::string, absl::Time> partitioned_;  // agent id -> until
  std::map<std::string, Wish> jobs_;
  absl::Time trouble_ends_;
};

}  // namespace vernier::simulation
