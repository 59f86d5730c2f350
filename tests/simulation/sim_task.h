// A model of what an agent starts: a vernier-trainer, or the preparation of data on a thread of the agent.
// Steps, checkpoints, artifacts and failures, as the agent and the object store see them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "tests/simulation/world.h"
#include "vernier/v1/task.pb.h"
#include "worker/agent/agent_machine.h"

namespace vernier::simulation {

// What a stage of the simulation computes, whatever interrupted it.
inline constexpr int64_t kTotalSteps = 30;
inline double LossAt(int64_t step) { return 10.0 / static_cast<double>(step); }

// Thread-compatible. The timeline holds it until it has ended.
class SimTask : public std::enable_shared_from_this<SimTask> {
 public:
  struct Callbacks {
    std::function<void(v1::TaskEvent)> event;
    std::function<void(agent::TaskExit)> exit;  // the last one
  };
  // `process`: the agent's.
  SimTask(World& world, std::string process, v1::Task task, Callbacks callbacks);

  void Start();
  // Finish the step, checkpoint, leave.
  void Stop() { stop_ = true; }
  bool asked_to_stop() const { return stop_; }
  // kill -9 for a trainer; a preparation can only be asked.
  void Kill();
  // Its agent is gone: it does not live on, and nobody hears of it.
  void Vanish();

 private:
  // Runs `what` after `delay` if it has not ended by then.
  void After(absl::Duration delay, std::function<void()> what);
  void Say(v1::TaskEvent event);
  void Finish(v1::TaskFinished finished);
  void Exit(std::string how);
  void FreeDevice();
  // True: it has just died or raised an error.
  bool Fails();
  // True: it was asked to stop and does not.
  bool Hangs();

  void RunPreparation();
  void RunEvaluation();
  void RunTraining();
  void NextStep();
  void TrainStep();
  // Before `then`, what is written is in the store and told.
  void WriteCheckpoint(std::function<void()> then);

  World& world_;
  const std::string process_;
  const v1::Task task_;
  const std::string stage_;  // "jobs/ID stage"
  const Callbacks callbacks_;
  bool on_device_ = false;
  bool stop_ = false;
  bool hangs_ = false;
  bool ended_ = false;
  int64_t step_ = 0;
  absl::Time newest_;  // when the agent hears the last thing said so far
};

}  // namespace vernier::simulation
