#include "tests/simulation/cluster.h"

#include <algorithm>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "server/jobs/transitions.h"

namespace vernier::simulation {
namespace {

constexpr char kTenant[] = "default";
constexpr absl::Duration kRound = absl::Seconds(5);  // of Trouble
constexpr absl::Duration kLongest = absl::Hours(3);

}  // namespace

Cluster::Cluster(Options options) : options_(std::move(options)), world_(options_.seed) {
  world_.faults = options_.faults;
  trouble_ends_ = world_.now() + options_.trouble;
  core_options_.random_id = [this](int num_bytes) { return world_.RandomId(num_bytes); };
  core_options_.lease = options_.lease;
  core_options_.stop_timeout = absl::Minutes(1);
  StartServer();
  v1::Dataset dataset;
  dataset.set_name("rows");
  dataset.set_digest(std::string(64, 'd'));
  VN_CHECK_OK(core_->RegisterDataset(kTenant, dataset, world_.now()).status());
  v1::Model model;
  model.set_name("model");
  model.set_digest(std::string(64, 'e'));
  VN_CHECK_OK(core_->RegisterModel(kTenant, model, world_.now()).status());
  for (int i = 0; i < options_.num_agents; ++i) StartAgent(absl::StrCat("agent", i));
  for (int i = 0; i < options_.num_jobs; ++i) {
    world_.timeline.After(world_.Span(absl::ZeroDuration(), options_.trouble / 2), [this] { SubmitOne(); });
  }
  world_.timeline.After(kRound, [this] { Trouble(); });
  world_.timeline.After(kRound, [this] { Whims(); });
}

// Processes hold themselves in what the timeline has yet to do.
Cluster::~Cluster() = default;

bool Cluster::Run() {
  const absl::Time end = world_.now() + kLongest;
  while (world_.now() < end && world_.violations.empty()) {
    if (!world_.timeline.RunNext()) return false;
    if (world_.now() > trouble_ends_ && AllEnded()) return true;
  }
  return false;
}

bool Cluster::AllEnded() const {
  if (core_ == nullptr || static_cast<int>(jobs_.size()) < options_.num_jobs) return false;
  return std::all_of(jobs_.begin(), jobs_.end(), [&](const auto& entry) {
    return server::HasEnded(core_->GetJob(kTenant, entry.first)->state());
  });
}

// --- vernierd.

void Cluster::StartServer() {
  auto core = server::Core::Create(core_options_, store_, world_.now());
  VN_CHECK_OK(core.status());
  core_ = *std::move(core);
  wakeup_ = absl::InfiniteFuture();
  Deliver();
}

void Cluster::StopServer() {
  core_.reset();
  while (!wires_.empty()) Break(wires_.begin()->first, absl::UnavailableError("vernierd went away"));
}

void Cluster::Deliver() {
  if (core_ == nullptr) return;
  for (const server::Effect& effect : core_->TakeEffects()) {
    Execute(effect);
    if (core_ == nullptr) return;
  }
  const absl::Time next = core_->NextWakeup();
  if (next >= wakeup_ || next == absl::InfiniteFuture()) return;
  wakeup_ = next;
  world_.timeline.At(next, [this, core = core_.get(), next] {
    if (core_.get() != core || wakeup_ != next) return;
    wakeup_ = absl::InfiniteFuture();
    core_->Tick(world_.now());
    Deliver();
  });
}

void Cluster::Execute(const server::Effect& effect) {
  if (const auto* send = std::get_if<server::SendToAgent>(&effect)) {
    SendDown(send->connection, send->message);
  } else if (const auto* close = std::get_if<server::CloseConnection>(&effect)) {
    Break(close->connection, close->reason);
  } else if (const auto* deletion = std::get_if<server::DeleteObjects>(&effect)) {
    if (!core_->IsLive(deletion->prefix)) DeleteObjects(deletion->prefix);
  } else if (const auto* changed = std::get_if<server::JobChanged>(&effect)) {
    const auto job = core_->GetJob(kTenant, changed->job);
    if (!job.ok()) return;
    world_.Note(absl::StrCat(job->name(), " ", job->state(), " ", job->state_reason()));
    for (const v1::StageStatus& stage : job->stages()) {
      for (const v1::CheckpointInfo& checkpoint : stage.checkpoints()) {
        if (!world_.checkpoints.contains(checkpoint.key())) {
          world_.Violation(job->name(), " lists checkpoint ", checkpoint.key(), ", which is not there");
        }
      }
    }
  }
}

void Cluster::DeleteObjects(const std::string& prefix) {
  std::erase_if(world_.checkpoints,
                [&](const auto& entry) { return absl::StartsWith(absl::StrCat(entry.first, "/"), prefix); });
  std::erase_if(world_.artifacts,
                [&](const std::string& key) { return absl::StartsWith(absl::StrCat(key, "/"), prefix); });
}

// --- Agents and the wires to them.

void Cluster::StartAgent(const std::string& id) {
  // The process is known to its uplink only once it exists.
  auto holder = std::make_shared<std::weak_ptr<SimAgent>>();
  SimAgent::Uplink uplink{
      .dial = [this, holder](const v1::AgentHello& hello) { return Dial(holder->lock(), hello); },
      .send = [this](server::ConnectionId connection,
                     v1::AgentMessage message) { SendUp(connection, std::move(message)); }};
  const auto agent = std::make_shared<SimAgent>(world_, id, std::move(uplink));
  *holder = agent;
  agents_.push_back(agent);
  agent->Start();
}

bool Cluster::HasAgent(const std::string& id) const {
  return std::any_of(agents_.begin(), agents_.end(), [&](const std::shared_ptr<SimAgent>& agent) {
    return agent->alive() && !agent->leaving() && agent->id() == id;
  });
}

server::ConnectionId Cluster::Dial(const std::shared_ptr<SimAgent>& agent, const v1::AgentHello& hello) {
  const auto partition = partitioned_.find(agent->id());
  if (core_ == nullptr || (partition != partitioned_.end() && partition->second > world_.now())) return 0;
  const server::ConnectionId connection = ++last_connection_;
  Wire& wire = wires_[connection];
  wire.agent = agent;
  world_.timeline.At(Arrival(wire, wire.up), [this, connection, hello] {
    if (!wires_.contains(connection)) return;
    core_->AgentConnected(connection, hello, world_.now());
    Deliver();
  });
  return connection;
}

absl::Time Cluster::Arrival(const Wire& wire, absl::Time& newest) {
  absl::Time arrival = world_.now() + world_.Span(absl::Milliseconds(1), absl::Milliseconds(200));
  const auto partition = partitioned_.find(wire.agent->id());
  if (partition != partitioned_.end()) arrival = std::max(arrival, partition->second);
  newest = std::max(newest, arrival);
  return newest;
}

void Cluster::SendUp(server::ConnectionId connection, v1::AgentMessage message) {
  const auto it = wires_.find(connection);
  if (it == wires_.end()) return;
  if (world_.Chance(world_.faults.break_connection)) {
    return Break(connection, absl::UnavailableError("the connection broke"));
  }
  world_.timeline.At(Arrival(it->second, it->second.up), [this, connection, message = std::move(message)] {
    if (!wires_.contains(connection)) return;
    core_->AgentMessage(connection, message, world_.now());
    Deliver();
  });
}

void Cluster::SendDown(server::ConnectionId connection, v1::ServerMessage message) {
  const auto it = wires_.find(connection);
  if (it == wires_.end()) return;
  world_.timeline.At(Arrival(it->second, it->second.down), [this, connection, message = std::move(message)] {
    const auto wire = wires_.find(connection);
    if (wire == wires_.end()) return;
    if (world_.Chance(world_.faults.break_connection)) {
      return Break(connection, absl::UnavailableError("the connection broke"));
    }
    const std::shared_ptr<SimAgent> agent = wire->second.agent;
    agent->Receive(connection, message);
  });
}

// What is under way on it is lost; both sides learn of it in their own time.
void Cluster::Break(server::ConnectionId connection, const absl::Status& reason) {
  const auto it = wires_.find(connection);
  if (it == wires_.end()) return;
  const std::shared_ptr<SimAgent> agent = it->second.agent;
  wires_.erase(it);
  world_.timeline.After(world_.Span(absl::ZeroDuration(), absl::Seconds(3)),
                        [agent, connection, reason] { agent->Closed(connection, reason); });
  world_.timeline.After(world_.Span(absl::ZeroDuration(), absl::Seconds(3)),
                        [this, core = core_.get(), connection] {
                          if (core_ == nullptr || core_.get() != core) return;
                          core_->AgentDisconnected(connection, world_.now());
                          Deliver();
                        });
}

// --- What goes wrong.

void Cluster::Trouble() {
  if (world_.now() > trouble_ends_) {
    world_.faults = Faults();
    store_.FailWith(absl::OkStatus());
    for (int i = 0; i < options_.num_agents; ++i) {
      if (!HasAgent(absl::StrCat("agent", i))) StartAgent(absl::StrCat("agent", i));
    }
    return;
  }
  const Faults& faults = world_.faults;
  store_.FailWith(world_.Chance(faults.fail_store) ? absl::ResourceExhaustedError("disk full")
                                                   : absl::OkStatus());
  const std::vector<std::shared_ptr<SimAgent>> agents = agents_;
  for (const std::shared_ptr<SimAgent>& agent : agents) {
    if (!agent->alive() || agent->leaving()) continue;
    if (world_.Chance(faults.partition)) {
      partitioned_[agent->id()] = world_.now() + world_.Span(absl::Seconds(1), absl::Seconds(40));
    }
    if (world_.Chance(faults.clone_agent)) StartAgent(agent->id());
    const bool crash = world_.Chance(faults.crash_agent);
    if (!crash && !world_.Chance(faults.shut_down_agent)) continue;
    if (crash) {
      const server::ConnectionId connection = agent->connection();
      agent->Crash();
      Break(connection, absl::UnavailableError("the agent is gone"));
    } else {
      agent->ShutDown();
    }
    world_.timeline.After(world_.Span(absl::Milliseconds(500), absl::Seconds(15)), [this, id = agent->id()] {
      if (!HasAgent(id)) StartAgent(id);
    });
  }
  std::erase_if(agents_, [](const std::shared_ptr<SimAgent>& agent) { return !agent->alive(); });
  if (core_ != nullptr && world_.Chance(faults.restart_server)) {
    StopServer();
    store_.FailWith(absl::OkStatus());
    world_.timeline.After(world_.Span(absl::Milliseconds(200), absl::Seconds(40)), [this] {
      store_.FailWith(absl::OkStatus());
      StartServer();
    });
  }
  world_.timeline.After(kRound, [this] { Trouble(); });
}

// --- What users do.

void Cluster::SubmitOne() {
  if (core_ == nullptr) {
    world_.timeline.After(absl::Seconds(1), [this] { SubmitOne(); });
    return;
  }
  v1::JobSpec spec;
  spec.mutable_model()->set_base("model");
  spec.mutable_data()->set_source("rows");
  spec.set_max_attempts(100);
  const int64_t kind = world_.Between(0, 2);
  v1::Stage& train = *spec.add_stages();
  train.set_id("sft");
  train.mutable_train()->mutable_checkpoint()->set_keep(static_cast<int>(world_.Between(1, 3)));
  if (kind > 0) {
    v1::Stage& judge = *spec.add_stages();
    judge.set_id("judge");
    judge.mutable_evaluate()->mutable_model()->set_stage("sft");
  }
  if (kind > 1) {
    v1::Stage& more = *spec.add_stages();
    more.set_id("more");
    more.mutable_train()->mutable_init_from()->set_stage("sft");
  }
  const std::string request = absl::StrCat("request-", jobs_.size(), "-", world_.Between(0, 1 << 30));
  const auto job = core_->CreateJob(kTenant, spec, request, world_.now());
  Deliver();
  if (job.ok()) {
    jobs_[job->name()];
  } else {
    world_.timeline.After(absl::Seconds(1), [this] { SubmitOne(); });  // the store fails
  }
}

void Cluster::Whims() {
  if (core_ == nullptr || jobs_.empty()) {
    world_.timeline.After(kRound, [this] { Whims(); });
    return;
  }
  if (world_.now() > trouble_ends_) {
    bool again = false;
    for (auto& [name, wish] : jobs_) {
      const auto job = core_->ResumeJob(kTenant, name, world_.now());
      again = again || (!job.ok() && !absl::IsFailedPrecondition(job.status()));
    }
    Deliver();
    if (again) world_.timeline.After(kRound, [this] { Whims(); });
    return;
  }
  auto it = jobs_.begin();
  std::advance(it, world_.Between(0, static_cast<int64_t>(jobs_.size()) - 1));
  const int64_t whim = world_.Between(0, 19);
  if (whim == 0) {
    it->second.cancelled = core_->CancelJob(kTenant, it->first, world_.now()).ok() || it->second.cancelled;
  } else if (whim < 4) {
    (void)core_->PauseJob(kTenant, it->first, world_.now());
  } else if (whim < 8) {
    (void)core_->ResumeJob(kTenant, it->first, world_.now());
  }
  Deliver();
  world_.timeline.After(world_.Span(absl::Seconds(1), absl::Seconds(8)), [this] { Whims(); });
}

}  // namespace vernier::simulation
