#include "tests/simulation/sim_agent.h"

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"

namespace vernier::simulation {
namespace {

constexpr char kDevice[] = "cpu";

agent::AgentMachine::Options MachineOptions(const std::string& id, const std::string& host,
                                            const std::string& process) {
  agent::AgentMachine::Options options;
  options.hello.set_agent_id(id);
  options.hello.set_incarnation(process);
  options.hello.set_host(host);
  options.hello.set_isa("isa");
  v1::Device& device = *options.hello.add_devices();
  device.set_id(kDevice);
  device.set_kind("cpu");
  device.set_threads(2);
  return options;
}

}  // namespace

SimAgent::SimAgent(World& world, std::string id, std::string host, Uplink uplink)
    : world_(world),
      id_(std::move(id)),
      host_(std::move(host)),
      process_(absl::StrCat(id_, "/", world.RandomId(4))),
      uplink_(std::move(uplink)),
      born_(world.now()),
      clock_offset_(world.Span(-absl::Hours(1), absl::Hours(1))),
      clock_rate_(1 + world.faults.clock_rate * static_cast<double>(world.Between(-100, 100)) / 100),
      stop_grace_(world.Span(absl::ZeroDuration(), absl::Minutes(1))),
      audit_(world, process_),
      machine_(MachineOptions(id_, host_, process_)) {}

absl::Time SimAgent::Local(absl::Time when) const {
  return born_ + clock_offset_ + clock_rate_ * (when - born_);
}

absl::Time SimAgent::FromLocal(absl::Time local) const {
  if (local == absl::InfiniteFuture()) return local;
  // Rounded up: what is due then is due.
  return born_ + (local - born_ - clock_offset_) / clock_rate_ + absl::Microseconds(1);
}

// --- The link.

void SimAgent::Dial() {
  welcomed_ = false;
  dialled_ = world_.now();
  connection_ = uplink_.dial();
  Post([this, connection = connection_] {
    stream_ = connection;
    audit_.StreamBegins();
    machine_.OnConnected(Local(world_.now()));
  });
}

void SimAgent::Send(v1::AgentMessage message) {
  if (stream_ != connection_) return;
  audit_.Sends(message);
  uplink_.send(connection_, std::move(message));
}

void SimAgent::HangUp() {
  if (connection_ == 0) return;
  uplink_.hang_up(connection_);
  world_.timeline.After(world_.Span(absl::ZeroDuration(), absl::Milliseconds(50)),
                        [self = shared_from_this(), connection = connection_] {
                          self->Closed(connection, absl::CancelledError("hung up"));
                        });
}

void SimAgent::Closed(server::ConnectionId connection, const absl::Status& reason) {
  if (!alive_ || connection != connection_) return;
  connection_ = 0;
  Post([this] { machine_.OnDisconnected(Local(world_.now())); });
  if (absl::IsFailedPrecondition(reason) || absl::IsInvalidArgument(reason)) return ShutDown();
  redial_delay_ =
      world_.now() - dialled_ > absl::Seconds(5)
          ? absl::Milliseconds(50)
          : std::clamp(redial_delay_ * 2, absl::Duration(absl::Milliseconds(50)), absl::Seconds(2));
  world_.timeline.After(redial_delay_, [self = shared_from_this()] {
    if (self->alive_) self->Dial();
  });
}

void SimAgent::Receive(server::ConnectionId connection, const v1::ServerMessage& message) {
  if (!alive_ || connection != connection_) return;
  welcomed_ = welcomed_ || message.has_welcome();
  if (!welcomed_) {
    world_.Violation(process_, " got a message before its welcome: ", message.ShortDebugString());
  }
  v1::ServerMessage received = message;
  if (message.has_prepare() && world_.Chance(world_.faults.refuse)) {
    received.mutable_prepare()->set_device("unplugged");
  }
  Post([this, received = std::move(received)] {
    audit_.Receives(received);
    machine_.OnServerMessage(received, Local(world_.now()));
  });
}

void SimAgent::ShutDown() {
  leaving_ = true;
  Post([this] {
    audit_.ShutsDown();
    give_up_ = std::min(give_up_, world_.now() + stop_grace_);
    machine_.OnShutdown(Local(world_.now()));
  });
}

// --- The loop.

void SimAgent::Post(std::function<void()> work) {
  posted_.push_back(std::move(work));
  if (busy_until_ < world_.now() && world_.Chance(world_.faults.stall)) {
    busy_until_ = world_.now() + world_.Span(absl::ZeroDuration(), absl::Seconds(1));
  }
  WakeAt(world_.now());
}

void SimAgent::WakeAt(absl::Time when) {
  when = std::max(when, busy_until_);
  if (when >= next_turn_) return;
  next_turn_ = when;
  world_.timeline.At(when, [self = shared_from_this(), when] {
    if (!self->alive_ || self->next_turn_ != when) return;
    self->next_turn_ = absl::InfiniteFuture();
    self->Turn();
  });
}

// From the end of one wait to the next, as Agent::Run.
void SimAgent::Turn() {
  const absl::Time now = world_.now();
  if (now < busy_until_) return WakeAt(busy_until_);
  // What held it up was no wait: then the tick comes before what has queued up since.
  if (now == busy_until_) Tick();
  std::deque<std::function<void()>> work;
  work.swap(posted_);
  for (const std::function<void()>& run : work) run();
  const bool acted = CarryOut();
  if (machine_.drained()) audit_.Leaves(machine_.connected(), tasks_.empty() ? "" : tasks_.begin()->first);
  if (machine_.drained() || now >= give_up_) return Exit();
  audit_.Turned(Tick() || acted || !work.empty());
  WakeAt(std::max(now, std::min(FromLocal(machine_.NextWakeup()), give_up_)));
}

bool SimAgent::Tick() {
  machine_.OnTick(Local(world_.now()));
  return CarryOut();
}

bool SimAgent::CarryOut() {
  std::vector<agent::Effect> effects = machine_.TakeEffects();
  for (agent::Effect& effect : effects) {
    std::visit([this](auto& what) { Do(what); }, effect);
  }
  const auto runs_on = std::find_if(tasks_.begin(), tasks_.end(),
                                    [](const auto& entry) { return !entry.second->asked_to_stop(); });
  audit_.CarriedOut(runs_on == tasks_.end() ? "" : runs_on->first);
  return !effects.empty();
}

void SimAgent::Do(agent::StartTask& effect) {
  const std::string& lease = effect.lease;
  audit_.Starts(lease, effect.task);
  // The task must not keep its agent alive.
  const std::weak_ptr<SimAgent> weak = weak_from_this();
  SimTask::Callbacks callbacks;
  callbacks.event = [weak, lease](v1::TaskEvent event) {
    const std::shared_ptr<SimAgent> self = weak.lock();
    if (self == nullptr || !self->alive_) return;
    self->Post([self = self.get(), lease, event = std::move(event)] {
      self->machine_.OnTaskEvent(lease, event, self->Local(self->world_.now()));
    });
  };
  callbacks.exit = [weak, lease](agent::TaskExit exit) {
    const std::shared_ptr<SimAgent> self = weak.lock();
    if (self == nullptr || !self->alive_) return;
    self->Post([self = self.get(), lease, exit = std::move(exit)] {
      self->tasks_.erase(lease);
      self->machine_.OnTaskExit(lease, exit, self->Local(self->world_.now()));
    });
  };
  auto task = std::make_shared<SimTask>(world_, process_, std::move(effect.task), std::move(callbacks));
  tasks_[lease] = task;
  task->Start();
}

void SimAgent::Do(agent::StopTask& effect) {
  audit_.Stops(effect.lease, effect.reason);
  const auto it = tasks_.find(effect.lease);
  if (it != tasks_.end()) it->second->Stop();
}

void SimAgent::Do(agent::KillTask& effect) {
  audit_.Stops(effect.lease, effect.reason);
  const auto it = tasks_.find(effect.lease);
  if (it != tasks_.end()) it->second->Kill();
}

void SimAgent::Exit() {
  alive_ = false;
  leaving_ = true;
  if (connection_ != 0) uplink_.hang_up(connection_);
  for (const auto& [lease, task] : tasks_) task->Vanish();
  tasks_.clear();
}

}  // namespace vernier::simulation
