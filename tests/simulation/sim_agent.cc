#include "tests/simulation/sim_agent.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"

namespace vernier::simulation {
namespace {

constexpr int64_t kCheckpointEvery = 5;

v1::TaskFinished Raised(absl::StatusCode code, std::string message) {
  v1::TaskFinished finished;
  finished.set_code(static_cast<int>(code));
  finished.set_message(std::move(message));
  finished.set_cause(v1::TaskFinished::CAUSE_RAISED);
  return finished;
}

}  // namespace

SimAgent::SimAgent(World& world, std::string id, Uplink uplink)
    : world_(world),
      id_(std::move(id)),
      process_(absl::StrCat(id_, "/", world.RandomId(4))),
      uplink_(std::move(uplink)) {}

void SimAgent::After(absl::Duration delay, std::function<void()> what) {
  world_.timeline.After(delay, [self = shared_from_this(), what = std::move(what)] {
    if (self->alive_) what();
  });
}

void SimAgent::AfterFor(const std::string& lease, absl::Duration delay, std::function<void(Lease&)> what) {
  After(delay, [this, lease, what = std::move(what)] {
    const auto it = leases_.find(lease);
    if (it != leases_.end() && !it->second.finished) what(it->second);
  });
}

std::string SimAgent::StageOf(const Lease& lease) const {
  return absl::StrCat(lease.prepare.task().job(), " ", lease.prepare.task().stage());
}

// --- Life and connection.

void SimAgent::Start() {
  Dial();
  Beat();
}

void SimAgent::Crash() {
  for (auto& [id, lease] : leases_) StopTrainer(lease);
  leases_.clear();
  alive_ = false;
}

void SimAgent::ShutDown() {
  leaving_ = true;
  for (auto& [id, lease] : leases_) lease.stop = true;
}

void SimAgent::Dial() {
  if (banned_ || connection_ != 0) return;
  v1::AgentHello hello;
  hello.set_agent_id(id_);
  hello.set_incarnation(process_);
  hello.set_isa("isa");
  v1::Device& device = *hello.add_devices();
  device.set_id("cpu");
  device.set_kind("cpu");
  device.set_threads(2);
  for (const auto& [id, lease] : leases_) {
    v1::HeldLease& held = *hello.add_leases();
    held.set_lease(id);
    held.set_token(lease.prepare.task().token());
    held.set_committed(lease.committed);
    held.set_next_sequence(lease.unacknowledged.empty() ? lease.next_sequence
                                                        : lease.unacknowledged.front().sequence());
  }
  welcomed_ = false;
  beats_.clear();
  hello_time_ = world_.now();
  connection_ = uplink_.dial(hello);
  if (connection_ == 0) After(world_.Span(absl::Milliseconds(200), absl::Seconds(2)), [this] { Dial(); });
}

void SimAgent::Closed(server::ConnectionId connection, const absl::Status& reason) {
  if (!alive_ || connection != connection_) return;
  connection_ = 0;
  welcomed_ = false;
  if (absl::IsFailedPrecondition(reason)) banned_ = leaving_ = true;
  After(world_.Span(absl::Milliseconds(50), absl::Seconds(2)), [this] { Dial(); });
}

void SimAgent::Receive(server::ConnectionId connection, const v1::ServerMessage& message) {
  if (!alive_ || connection != connection_) return;
  if (!welcomed_ && !message.has_welcome()) {
    world_.Violation(process_, " got a message before its welcome: ", message.ShortDebugString());
    return;
  }
  const auto find = [&](const std::string& lease) { return leases_.find(lease); };
  switch (message.message_case()) {
    case v1::ServerMessage::kWelcome:
      Welcome(message.welcome());
      break;
    case v1::ServerMessage::kPrepare:
      Prepare(message.prepare());
      break;
    case v1::ServerMessage::kCommit:
      Commit(message.commit().lease());
      break;
    case v1::ServerMessage::kCancel:
      // What is killed reports it, like any other end; what has not begun is forgotten.
      if (const auto it = find(message.cancel().lease()); it != leases_.end()) Drop(it->first);
      break;
    case v1::ServerMessage::kStop:
      if (const auto it = find(message.stop().lease()); it != leases_.end()) it->second.stop = true;
      break;
    case v1::ServerMessage::kAck:
      if (const auto it = find(message.ack().lease()); it != leases_.end()) {
        Lease& lease = it->second;
        while (!lease.unacknowledged.empty() &&
               lease.unacknowledged.front().sequence() <= message.ack().sequence()) {
          const auto checkpoint = lease.checkpoint_events.find(lease.unacknowledged.front().sequence());
          if (checkpoint != lease.checkpoint_events.end()) world_.Safe(StageOf(lease), checkpoint->second);
          lease.unacknowledged.pop_front();
        }
        if (lease.finished && lease.unacknowledged.empty()) leases_.erase(it);
      }
      break;
    case v1::ServerMessage::kRenew: {
      if (beats_.empty()) {
        world_.Violation(process_, " got a renewal for no heartbeat");
        break;
      }
      const absl::Time sent = beats_.front();
      beats_.pop_front();
      for (const std::string& id : message.renew().leases()) {
        if (const auto it = find(id); it != leases_.end()) it->second.valid_until = sent + ttl_;
      }
      break;
    }
    default:
      world_.Violation(process_, " got an unknown message");
  }
}

void SimAgent::Welcome(const v1::Welcome& welcome) {
  welcomed_ = true;
  ttl_ = absl::Milliseconds(welcome.lease_ttl_millis());
  heartbeat_ = absl::Milliseconds(welcome.heartbeat_millis());
  const std::set<std::string> keep(welcome.keep().begin(), welcome.keep().end());
  std::vector<std::string> gone;
  for (auto& [id, lease] : leases_) {
    if (!keep.contains(id)) {
      gone.push_back(id);
      continue;
    }
    lease.valid_until = hello_time_ + ttl_;
    for (const v1::TaskEvent& event : lease.unacknowledged) {
      v1::AgentMessage message;
      message.mutable_event()->set_lease(id);
      message.mutable_event()->set_token(lease.prepare.task().token());
      *message.mutable_event()->mutable_event() = event;
      uplink_.send(connection_, std::move(message));
    }
  }
  for (const std::string& id : gone) Drop(id);
}

void SimAgent::Beat() {
  if (leaving_ && leases_.empty()) {
    alive_ = false;
    return;
  }
  if (connection_ != 0 && welcomed_) {
    v1::AgentMessage message;
    message.mutable_heartbeat();
    for (const auto& [id, lease] : leases_) message.mutable_heartbeat()->add_leases(id);
    beats_.push_back(world_.now());
    uplink_.send(connection_, std::move(message));
  }
  After(heartbeat_, [this] { Beat(); });
}

// --- Leases.

void SimAgent::Prepare(const v1::PrepareLease& prepare) {
  const bool ok = !leaving_ && !world_.Chance(world_.faults.refuse);
  v1::AgentMessage reply;
  reply.mutable_prepare_reply()->set_lease(prepare.lease());
  reply.mutable_prepare_reply()->set_ok(ok);
  reply.mutable_prepare_reply()->set_reason("not now");
  if (ok) {
    Lease& lease = leases_[prepare.lease()];
    lease.prepare = prepare;
    lease.valid_until = world_.now() + ttl_;
    Watch(prepare.lease());
  }
  uplink_.send(connection_, std::move(reply));
}

void SimAgent::Commit(const std::string& id) {
  const auto it = leases_.find(id);
  if (it == leases_.end() || it->second.committed) return;
  it->second.committed = true;
  AfterFor(id, world_.Span(absl::Milliseconds(10), absl::Seconds(1)), [this](Lease& lease) {
    const v1::Task& task = lease.prepare.task();
    if (task.has_prepare()) {
      RunPrepare(lease);
    } else if (task.has_train()) {
      RunTraining(lease);
    } else {
      RunEvaluate(lease);
    }
  });
}

void SimAgent::Drop(const std::string& id) {
  const auto it = leases_.find(id);
  StopTrainer(it->second);
  leases_.erase(it);
}

void SimAgent::Watch(const std::string& id) {
  const auto it = leases_.find(id);
  if (it == leases_.end()) return;
  if (it->second.valid_until <= world_.now()) return Drop(id);
  After(it->second.valid_until - world_.now(), [this, id] { Watch(id); });
}

void SimAgent::StopTrainer(Lease& lease) {
  if (lease.started && OnDevice(lease)) world_.Ends(StageOf(lease), process_);
  lease.started = false;
}

void SimAgent::Say(Lease& lease, v1::TaskEvent event) {
  event.set_sequence(lease.next_sequence++);
  if (event.has_checkpoint()) lease.checkpoint_events[event.sequence()] = event.checkpoint().step();
  if (connection_ != 0 && welcomed_) {
    v1::AgentMessage message;
    message.mutable_event()->set_lease(lease.prepare.lease());
    message.mutable_event()->set_token(lease.prepare.task().token());
    *message.mutable_event()->mutable_event() = event;
    uplink_.send(connection_, std::move(message));
  }
  lease.unacknowledged.push_back(std::move(event));
}

void SimAgent::Finish(Lease& lease, v1::TaskFinished finished) {
  StopTrainer(lease);
  finished.set_step(lease.step);
  v1::TaskEvent event;
  *event.mutable_finished() = std::move(finished);
  Say(lease, std::move(event));
  lease.finished = true;
}

// --- Tasks.

void SimAgent::RunPrepare(Lease& lease) {
  lease.started = true;
  AfterFor(lease.prepare.lease(), world_.Span(absl::Milliseconds(100), absl::Seconds(4)),
           [this](Lease& lease) {
             if (lease.stop) {
               v1::TaskFinished finished = Raised(absl::StatusCode::kCancelled, "preparing was stopped");
               finished.set_stopped(true);
               return Finish(lease, finished);
             }
             if (Fails(lease)) return;
             v1::TaskEvent event;
             event.mutable_prepared()->set_key("tenants/default/prepared/p");
             event.mutable_prepared()->mutable_report()->set_num_rows(100);
             Say(lease, std::move(event));
             Finish(lease, Raised(absl::StatusCode::kOk, ""));
           });
}

void SimAgent::RunEvaluate(Lease& lease) {
  world_.Starts(StageOf(lease), process_, 0);
  if (!world_.artifacts.contains(lease.prepare.task().evaluate().adapter_key())) {
    world_.Violation(StageOf(lease), " judges an adapter that is not there");
  }
  lease.started = true;
  v1::TaskEvent event;
  event.mutable_started();
  Say(lease, std::move(event));
  AfterFor(lease.prepare.lease(), world_.Span(absl::Seconds(1), absl::Seconds(5)), [this](Lease& lease) {
    if (lease.stop) {
      v1::TaskFinished finished = Raised(absl::StatusCode::kOk, "");
      finished.set_stopped(true);
      return Finish(lease, finished);
    }
    if (Fails(lease)) return;
    v1::TaskFinished finished = Raised(absl::StatusCode::kOk, "");
    (*finished.mutable_results())["loss"] = 1;
    Finish(lease, std::move(finished));
  });
}

void SimAgent::RunTraining(Lease& lease) {
  const v1::TrainTask& train = lease.prepare.task().train();
  if (!train.resume_key().empty()) {
    const auto it = world_.checkpoints.find(train.resume_key());
    if (it == world_.checkpoints.end() || it->second.stage != StageOf(lease)) {
      world_.Violation(StageOf(lease), " resumes from ", train.resume_key(), ", which is not there");
      return Finish(lease, Raised(absl::StatusCode::kNotFound, "no such checkpoint"));
    }
    if (world_.Chance(world_.faults.damage)) {
      world_.Damaged(StageOf(lease));
      return Finish(
          lease, Raised(absl::StatusCode::kDataLoss, absl::StrCat(train.resume_key(), ": digest differs")));
    }
    lease.step = it->second.step;
  }
  world_.Starts(StageOf(lease), process_, lease.step);
  lease.started = true;
  v1::TaskEvent event;
  event.mutable_started()->set_pid(1);
  Say(lease, std::move(event));
  TrainStep(lease);
}

bool SimAgent::Fails(Lease& lease) {
  if (world_.Chance(world_.faults.kill_trainer)) {
    v1::TaskFinished finished = Raised(absl::StatusCode::kUnknown, "killed by signal 9");
    finished.set_cause(v1::TaskFinished::CAUSE_KILLED);
    Finish(lease, std::move(finished));
    return true;
  }
  if (world_.Chance(world_.faults.raise)) {
    // Never the same twice: that would be for good.
    Finish(lease, Raised(absl::StatusCode::kUnavailable, absl::StrCat("trouble ", world_.RandomId(4))));
    return true;
  }
  return false;
}

void SimAgent::TrainStep(Lease& lease) {
  AfterFor(lease.prepare.lease(), world_.Span(absl::Milliseconds(200), absl::Milliseconds(800)),
           [this](Lease& lease) {
             if (lease.stop) {
               return WriteCheckpoint(lease, [this](Lease& lease) {
                 v1::TaskFinished finished =
                     Raised(absl::StatusCode::kOk, leaving_ ? "the agent is shutting down" : "");
                 finished.set_stopped(true);
                 Finish(lease, std::move(finished));
               });
             }
             if (Fails(lease)) return;
             if (lease.step < kTotalSteps) {
               ++lease.step;
               v1::TaskEvent metric;
               metric.mutable_metric()->set_step(lease.step);
               (*metric.mutable_metric()->mutable_values())["train_loss"] = LossAt(lease.step);
               Say(lease, std::move(metric));
               v1::TaskEvent progress;
               progress.mutable_progress()->set_step(lease.step);
               progress.mutable_progress()->set_total_steps(kTotalSteps);
               Say(lease, std::move(progress));
             }
             if (lease.step >= kTotalSteps) {
               const v1::Task& task = lease.prepare.task();
               v1::TaskEvent artifact;
               artifact.mutable_artifact()->set_name("adapter");
               artifact.mutable_artifact()->set_key(absl::StrCat(
                   task.train().output_key(), "/artifacts/adapter-", task.token(), "-", task.incarnation()));
               world_.artifacts.insert(artifact.artifact().key());
               Say(lease, std::move(artifact));
               return Finish(lease, Raised(absl::StatusCode::kOk, ""));
             }
             // Checkpoints are written beside the steps.
             if (lease.step % kCheckpointEvery == 0) WriteCheckpoint(lease, [](Lease&) {});
             TrainStep(lease);
           });
}

void SimAgent::WriteCheckpoint(Lease& lease, std::function<void(Lease&)> then) {
  const int64_t step = lease.step;
  AfterFor(lease.prepare.lease(), world_.Span(absl::Milliseconds(10), absl::Milliseconds(400)),
           [this, step, then = std::move(then)](Lease& lease) {
             const v1::Task& task = lease.prepare.task();
             v1::TaskEvent event;
             v1::CheckpointInfo& checkpoint = *event.mutable_checkpoint();
             checkpoint.set_step(step);
             checkpoint.set_key(absl::StrCat(task.train().output_key(), "/checkpoints/", step, "-",
                                             task.token(), "-", task.incarnation()));
             checkpoint.set_best(world_.Chance(0.3));
             world_.checkpoints[checkpoint.key()] = {StageOf(lease), step};
             Say(lease, std::move(event));
             then(lease);
           });
}

}  // namespace vernier::simulation
