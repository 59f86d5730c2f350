// The real control plane (server/core.h) and the real agents (worker/agent/agent_machine.h) on virtual time,
// with simulated network, tasks, users and faults.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/core.h"
#include "server/jobs/memory_job_store.h"
#include "tests/simulation/network.h"
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
    bool whims = true;                          // users pause, resume and cancel
  };
  explicit Cluster(Options options);
  ~Cluster();

  // Until every job has ended, and long enough that nothing is under way any more. False: it did not come to
  // that within hours of virtual time, or something happened that must not.
  bool Run();

  World& world() { return world_; }
  server::Core& core() { return *core_; }
  // What each job was told last.
  struct Wish {
    bool cancelled = false;
  };
  const std::map<std::string, Wish>& jobs() const { return jobs_; }

 private:
  void StartServer();
  void StopServer();
  void StartAgent(const std::string& id, const std::string& host);
  void Deliver();  // the core's effects
  void Execute(const server::Effect& effect);
  void DeleteObjects(const std::string& prefix);

  // Answers come late, then questions not at all: an answer must not count from when it comes.
  void Fade(const std::shared_ptr<SimAgent>& agent);
  void ShutDownAgent(const std::shared_ptr<SimAgent>& agent);
  // Another process with this id on this host, after a while and once the old one has let go of its data dir.
  void Replace(const std::string& id, const std::string& host);
  // One that is not on its way out; on any host.
  bool HasAgent(const std::string& id) const;
  // Violations: an agent holds a lease, or has not left though it was asked to.
  void CheckAgentsAreIdle();

  void Trouble();
  void Whims();
  void SubmitOne();
  bool AllEnded() const;

  const Options options_;
  World world_;
  server::MemoryJobStore store_;
  server::Core::Options core_options_;
  std::unique_ptr<server::Core> core_;  // null: vernierd is down
  absl::Time wakeup_ = absl::InfiniteFuture();
  Network network_;
  std::vector<std::shared_ptr<SimAgent>> agents_;
  std::map<std::string, Wish> jobs_;
  absl::Time trouble_ends_;
};

}  // namespace vernier::simulation
