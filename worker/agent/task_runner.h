// Starts tasks and tells how they end: data preparation on a thread of the agent, everything that needs torch
// in a vernier-trainer process of its own.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "common/child_process.h"
#include "common/mutex.h"
#include "vernier/v1/task.pb.h"
#include "worker/agent/agent_machine.h"
#include "worker/agent/trainer_host.h"

namespace vernier::agent {

// Thread-compatible (the agent's loop), but callbacks come from other threads.
class TaskRunner {
 public:
  struct Options {
    std::string trainer_path;  // the vernier-trainer binary
    std::string run_folder;    // private: socket
    std::string log_folder;    // one log a trainer, the newest `keep_logs` stay
    std::string temp_folder;   // a folder for each trainer that runs, its $TMPDIR; emptied by Create
    int keep_logs = 100;
  };
  struct Callbacks {
    std::function<void(const std::string& lease, v1::TaskEvent event)> event;
    std::function<void(const std::string& lease, TaskExit exit)> exit;  // the last one of a task
  };

  static absl::StatusOr<std::unique_ptr<TaskRunner>> Create(Options options, Callbacks callbacks);
  // Kills what still runs and joins every thread.
  ~TaskRunner();

  void Start(const std::string& lease, const v1::Task& task);
  void Stop(const std::string& lease, const std::string& reason);
  // To a trainer; in vain where there is none.
  void Tell(const std::string& lease, const v1::GenerateMore& more);
  void Kill(const std::string& lease);
  // Call once its exit was told: joins its thread.
  void Reap(const std::string& lease);

 private:
  struct Running {
    pid_t pid = -1;                                                                        // of a trainer
    std::shared_ptr<std::atomic<bool>> stop = std::make_shared<std::atomic<bool>>(false);  // of a preparation
    std::jthread thread;
  };

  TaskRunner(Options options, Callbacks callbacks);
  void StartTrainer(const std::string& lease, const v1::Task& task, Running& running);
  void StartPreparation(const std::string& lease, const v1::Task& task, Running& running);
  // What the spawned process becomes; an error: there is none.
  absl::StatusOr<pid_t> Spawn(ChildOptions child, std::string* temp_folder) const;
  void RemoveOldLogs() const;

  const Options options_;
  const Callbacks callbacks_;
  std::unique_ptr<TrainerHost> host_;
  std::map<std::string, Running> running_;
};

}  // namespace vernier::agent
