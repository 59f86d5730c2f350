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
constexpr absl::Duration kAftermath =
    absl::Minutes(2);  // longer than a partition, or than an agent takes to leave

}  // namespace

Cluster::Cluster(Options options)
    : options_(std::move(options)),
      world_(options_.seed),
      network_(world_, {.connected =
                            [this](server::ConnectionId connection, const v1::AgentHello& hello) {
                              core_->AgentConnected(connection, hello, world_.now());
                              Deliver();
                            },
                        .message =
                            [this](server::ConnectionId connection, const v1::AgentMessage& message) {
                              core_->AgentMessage(connection, message, world_.now());
                              Deliver();
                            },
                        .disconnected =
                            [this](server::ConnectionId connection) {
                              if (core_ == nullptr) return;
                              core_->AgentDisconnected(connection, world_.now());
                              Deliver();
                            }}) {
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
  for (int i = 0; i < options_.num_agents; ++i) {
    StartAgent(absl::StrCat("agent", i), absl::StrCat("host-", i));
  }
  for (int i = 0; i < options_.num_jobs; ++i) {
    world_.timeline.After(world_.Span(absl::ZeroDuration(), options_.trouble / 2), [this] { SubmitOne(); });
  }
  world_.timeline.After(kRound, [this] { Trouble(); });
  if (options_.whims) world_.timeline.After(kRound, [this] { Whims(); });
}

// Processes hold themselves in what the timeline has yet to do.
Cluster::~Cluster() = default;

bool Cluster::Run() {
  const absl::Time longest = world_.now() + kLongest;
  absl::Time end = absl::InfiniteFuture();
  while (world_.now() < longest && world_.violations.empty()) {
    if (!world_.timeline.RunNext()) return false;
    if (world_.now() <= trouble_ends_ || !AllEnded()) continue;
    if (end == absl::InfiniteFuture()) end = world_.now() + kAftermath;
    if (world_.now() < end) continue;
    CheckAgentsAreIdle();
    return world_.violations.empty();
  }
  return false;
}

void Cluster::CheckAgentsAreIdle() {
  for (const std::shared_ptr<SimAgent>& agent : agents_) {
    if (!agent->alive()) continue;
    if (agent->num_leases() > 0) world_.Violation(agent->id(), " still holds leases");
    if (agent->leaving()) world_.Violation(agent->id(), " was asked to leave and is still there");
  }
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
  network_.BreakAll(absl::UnavailableError("vernierd went away"));
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
    const std::shared_ptr<SimAgent> agent = network_.AgentOf(send->connection);
    if (agent != nullptr && send->message.has_prepare() &&
        world_.Chance(world_.faults.shut_down_at_prepare)) {
      world_.timeline.After(world_.Span(absl::ZeroDuration(), absl::Milliseconds(700)),
                            [this, agent] { ShutDownAgent(agent); });
    }
    network_.SendDown(send->connection, send->message);
  } else if (const auto* close = std::get_if<server::CloseConnection>(&effect)) {
    network_.Break(close->connection, close->reason);
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

// --- Agents.

void Cluster::StartAgent(const std::string& id, const std::string& host) {
  // The process is known to its uplink only once it exists.
  auto holder = std::make_shared<std::weak_ptr<SimAgent>>();
  SimAgent::Uplink uplink{
      .dial = [this, holder] { return network_.Dial(holder->lock(), core_ != nullptr); },
      .send = [this](server::ConnectionId connection,
                     v1::AgentMessage message) { network_.SendUp(connection, std::move(message)); },
      .hang_up = [this](server::ConnectionId connection) { network_.HangUp(connection); }};
  const auto agent = std::make_shared<SimAgent>(world_, id, host, std::move(uplink));
  *holder = agent;
  agents_.push_back(agent);
  agent->Start();
}

bool Cluster::HasAgent(const std::string& id) const {
  return std::any_of(agents_.begin(), agents_.end(), [&](const std::shared_ptr<SimAgent>& agent) {
    return agent->alive() && !agent->leaving() && agent->id() == id;
  });
}

void Cluster::Fade(const std::shared_ptr<SimAgent>& agent) {
  // Half of them while it dials: then it is the welcome that comes late.
  if (world_.Chance(0.5)) network_.Break(agent->connection(), absl::UnavailableError("the connection broke"));
  network_.HoldDown(agent->id(), world_.now() + world_.Span(absl::Seconds(6), absl::Seconds(14)));
  world_.timeline.After(world_.Span(absl::Seconds(1), absl::Seconds(6)), [this, agent] {
    network_.HoldUp(agent->id(), world_.now() + world_.Span(absl::Seconds(20), absl::Seconds(40)));
  });
}

void Cluster::ShutDownAgent(const std::shared_ptr<SimAgent>& agent) {
  if (!agent->alive()) return;
  agent->ShutDown();
  Replace(agent->id(), agent->host());
}

void Cluster::Replace(const std::string& id, const std::string& host) {
  world_.timeline.After(world_.Span(absl::Milliseconds(500), absl::Seconds(15)), [this, id, host] {
    if (HasAgent(id)) return;
    const bool locked =
        std::any_of(agents_.begin(), agents_.end(), [&](const std::shared_ptr<SimAgent>& agent) {
          return agent->alive() && agent->id() == id && agent->host() == host;
        });
    if (locked) return Replace(id, host);
    StartAgent(id, host);
  });
}

// --- What goes wrong.

void Cluster::Trouble() {
  if (world_.now() > trouble_ends_) {
    world_.faults = Faults();
    world_.calm_from = world_.now() + kAftermath;
    store_.FailWith(absl::OkStatus());
    for (int i = 0; i < options_.num_agents; ++i) {
      Replace(absl::StrCat("agent", i), absl::StrCat("host-", i));
    }
    return;
  }
  const Faults& faults = world_.faults;
  store_.FailWith(world_.Chance(faults.fail_store) ? absl::ResourceExhaustedError("disk full")
                                                   : absl::OkStatus());
  const std::vector<std::shared_ptr<SimAgent>> agents = agents_;
  for (const std::shared_ptr<SimAgent>& agent : agents) {
    if (!agent->alive() || agent->leaving()) continue;
    const absl::Time until = world_.now() + world_.Span(absl::Seconds(1), absl::Seconds(40));
    const bool partition = world_.Chance(faults.partition);
    if (partition || world_.Chance(faults.partition_one_way)) network_.HoldUp(agent->id(), until);
    if (partition || world_.Chance(faults.partition_one_way)) network_.HoldDown(agent->id(), until);
    if (world_.Chance(faults.fade)) Fade(agent);
    if (world_.Chance(faults.clone_agent)) {
      StartAgent(agent->id(), absl::StrCat("host-", world_.RandomId(4)));  // with a copy of its data dir
    }
    if (world_.Chance(faults.crash_agent)) {
      agent->Crash();
      Replace(agent->id(), agent->host());
    } else if (world_.Chance(faults.shut_down_agent)) {
      ShutDownAgent(agent);
    }
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
    bool again = world_.now() < world_.calm_from;  // a job may fail yet
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
