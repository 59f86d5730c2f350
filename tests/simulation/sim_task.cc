#include "tests/simulation/sim_task.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace vernier::simulation {
namespace {

constexpr int64_t kCheckpointEvery = 5;

v1::TaskFinished Ended(absl::StatusCode code, std::string message = "") {
  v1::TaskFinished finished;
  finished.set_code(static_cast<int>(code));
  finished.set_message(std::move(message));
  finished.set_cause(v1::TaskFinished::CAUSE_RAISED);
  return finished;
}

v1::TaskFinished Stopped(absl::StatusCode code = absl::StatusCode::kOk) {
  v1::TaskFinished finished = Ended(code);
  finished.set_stopped(true);
  return finished;
}

v1::TaskEvent ProgressOf(const std::string& phase, int64_t step = 0) {
  v1::TaskEvent event;
  event.mutable_progress()->set_phase(phase);
  event.mutable_progress()->set_step(step);
  event.mutable_progress()->set_total_steps(kTotalSteps);
  return event;
}

}  // namespace

SimTask::SimTask(World& world, std::string process, v1::Task task, Callbacks callbacks)
    : world_(world),
      process_(std::move(process)),
      task_(std::move(task)),
      stage_(absl::StrCat(task_.job(), " ", task_.stage())),
      callbacks_(std::move(callbacks)) {}

// --- Life.

void SimTask::Start() {
  if (task_.has_prepare()) return RunPreparation();
  // A process starts, dials its agent and gets its task.
  After(world_.Span(absl::Milliseconds(10), absl::Seconds(1)), [this] {
    if (task_.has_train()) {
      RunTraining();
    } else {
      RunEvaluation();
    }
  });
}

void SimTask::Kill() {
  stop_ = true;
  if (!task_.has_prepare()) Exit("the trainer was killed by signal 9");
}

void SimTask::Vanish() {
  FreeDevice();
  ended_ = true;
}

void SimTask::After(absl::Duration delay, std::function<void()> what) {
  world_.timeline.After(delay, [self = shared_from_this(), what = std::move(what)] {
    if (!self->ended_) what();
  });
}

void SimTask::Say(v1::TaskEvent event) {
  newest_ = std::max(newest_, world_.now() + world_.Span(absl::ZeroDuration(), absl::Milliseconds(30)));
  world_.timeline.At(
      newest_, [self = shared_from_this(), event = std::move(event)] { self->callbacks_.event(event); });
}

void SimTask::Finish(v1::TaskFinished finished) {
  finished.set_step(step_);
  v1::TaskEvent event;
  *event.mutable_finished() = std::move(finished);
  Say(std::move(event));
  Exit("left");
}

// What it said before comes first, also when it was killed.
void SimTask::Exit(std::string how) {
  if (ended_) return;
  FreeDevice();
  ended_ = true;
  newest_ = std::max(newest_, world_.now()) + world_.Span(absl::ZeroDuration(), absl::Milliseconds(100));
  world_.timeline.At(newest_,
                     [self = shared_from_this(), how = std::move(how)] { self->callbacks_.exit({how}); });
}

void SimTask::FreeDevice() {
  if (on_device_) world_.Ends(stage_, process_);
  on_device_ = false;
}

bool SimTask::Fails() {
  if (!task_.has_prepare() && world_.Chance(world_.faults.kill_trainer)) {
    Kill();
    return true;
  }
  if (world_.Chance(world_.faults.raise)) {
    // Never the same twice: that would be for good.
    Finish(Ended(absl::StatusCode::kUnavailable, absl::StrCat("trouble ", world_.RandomId(4))));
    return true;
  }
  if (world_.Chance(world_.faults.lose_model)) {
    Finish(Ended(absl::StatusCode::kFailedPrecondition, "the model is gone; import it again"));
    return true;
  }
  return false;
}

bool SimTask::Hangs() {
  hangs_ = hangs_ || (stop_ && world_.Chance(world_.faults.hang));
  return hangs_;
}

// --- Work.

void SimTask::RunPreparation() {
  v1::TaskEvent started;
  started.mutable_started()->set_pid(1);
  Say(std::move(started));
  Say(ProgressOf("reading"));
  After(world_.Span(absl::Milliseconds(100), absl::Seconds(4)), [this] {
    // Preparing keeps no state: it is simply done again.
    if (stop_) return Finish(Stopped(absl::StatusCode::kCancelled));
    if (Fails()) return;
    Say(ProgressOf("writing"));
    v1::TaskEvent event;
    event.mutable_prepared()->set_key("tenants/default/prepared/p");
    event.mutable_prepared()->mutable_report()->set_num_rows(100);
    Say(std::move(event));
    Finish(Ended(absl::StatusCode::kOk));
  });
}

void SimTask::RunEvaluation() {
  world_.Starts(stage_, process_, 0);
  on_device_ = true;
  if (!world_.artifacts.contains(task_.evaluate().adapter_key())) {
    world_.Violation(stage_, " judges an adapter that is not there");
  }
  v1::TaskEvent event;
  event.mutable_started()->set_pid(1);
  Say(std::move(event));
  After(world_.Span(absl::Seconds(1), absl::Seconds(5)), [this] {
    if (Hangs()) return;
    if (stop_) return Finish(Stopped());
    if (Fails()) return;
    v1::TaskFinished finished = Ended(absl::StatusCode::kOk);
    (*finished.mutable_results())["loss"] = 1;
    Finish(std::move(finished));
  });
}

void SimTask::RunTraining() {
  const std::string& resume_key = task_.train().resume_key();
  if (!resume_key.empty()) {
    const auto it = world_.checkpoints.find(resume_key);
    if (it == world_.checkpoints.end() || it->second.stage != stage_) {
      world_.Violation(stage_, " resumes from ", resume_key, ", which is not there");
      return Finish(Ended(absl::StatusCode::kNotFound, "no such checkpoint"));
    }
    if (world_.Chance(world_.faults.damage)) {
      world_.Damaged(stage_);
      return Finish(Ended(absl::StatusCode::kDataLoss, absl::StrCat(resume_key, ": digest differs")));
    }
    step_ = it->second.step;
  }
  world_.Starts(stage_, process_, step_);
  on_device_ = true;
  v1::TaskEvent event;
  event.mutable_started()->set_pid(1);
  Say(std::move(event));
  NextStep();
}

void SimTask::NextStep() {
  After(world_.Span(absl::Milliseconds(200), absl::Milliseconds(800)), [this] { TrainStep(); });
}

void SimTask::TrainStep() {
  if (Hangs()) return;
  if (stop_) {
    if (step_ == 0) return Finish(Stopped());
    Say(ProgressOf("checkpointing", step_));
    return WriteCheckpoint([this] { Finish(Stopped()); });
  }
  if (Fails()) return;
  if (step_ < kTotalSteps) {
    ++step_;
    v1::TaskEvent metric;
    metric.mutable_metric()->set_step(step_);
    (*metric.mutable_metric()->mutable_values())["train_loss"] = LossAt(step_);
    Say(std::move(metric));
    Say(ProgressOf("training", step_));
  }
  if (step_ >= kTotalSteps) {
    v1::TaskEvent event;
    v1::Artifact& artifact = *event.mutable_artifact();
    artifact.set_name("adapter");
    artifact.set_key(absl::StrCat(task_.train().output_key(), "/artifacts/adapter-", task_.token(), "-",
                                  task_.incarnation()));
    world_.artifacts.insert(artifact.key());
    Say(std::move(event));
    return Finish(Ended(absl::StatusCode::kOk));
  }
  // Checkpoints are written beside the steps.
  if (step_ % kCheckpointEvery == 0) WriteCheckpoint([] {});
  NextStep();
}

void SimTask::WriteCheckpoint(std::function<void()> then) {
  After(world_.Span(absl::Milliseconds(10), absl::Milliseconds(400)),
        [this, step = step_, then = std::move(then)] {
          v1::TaskEvent event;
          v1::CheckpointInfo& checkpoint = *event.mutable_checkpoint();
          checkpoint.set_step(step);
          checkpoint.set_key(absl::StrCat(task_.train().output_key(), "/checkpoints/", step, "-",
                                          task_.token(), "-", task_.incarnation()));
          checkpoint.set_best(world_.Chance(0.3));
          world_.checkpoints[checkpoint.key()] = {stage_, step};
          Say(std::move(event));
          then();
        });
}

}  // namespace vernier::simulation
