// A stage of a job as the trainer runs it: one function per kind of task, found in the table of registry.cc.
//
// Errors     what the task could not do; the code says what happens next (STYLE section 5). DataLoss means
//            that the checkpoint is damaged (the service then tries the one before): damage to any other
//            input is FailedPrecondition.
// Threading  a stage runs on one thread; checkpoints are written on another of its own.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "storage/object_store.h"
#include "vernier/v1/task.pb.h"
#include "worker/trainer/fault_hooks.h"
#include "worker/trainer/task_context.h"

namespace vernier::stages {

// What a stage works with. Everything outlives it.
struct StageContext {
  const v1::Task& task;
  storage::ObjectStore& store;
  trainer::TaskContext& events;  // reports, stop requests
  const trainer::FaultHooks& faults;
};

// Runs `context.task`. `outcome` is filled in as far as it came, also when it fails (the step at which it
// did). InvalidArgument: the task has no kind that this trainer runs (lists those it does).
absl::Status RunStage(const StageContext& context, trainer::TaskOutcome& outcome);

// Names of the kinds of tasks that RunStage runs, as in task.proto.
std::vector<std::string> KnownStages();

}  // namespace vernier::stages
