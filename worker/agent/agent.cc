#include "worker/agent/agent.h"

#include <unistd.h>

#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/version.h"
#include "worker/agent/devices.h"

namespace vernier::agent {
namespace {

// Kept across restarts: the server knows this machine by it.
absl::StatusOr<std::string> AgentId(const std::string& path) {
  absl::StatusOr<std::string> id = ReadFile(path, 256);
  if (id.ok()) return std::string(absl::StripAsciiWhitespace(*id));
  if (!absl::IsNotFound(id.status())) return id.status();
  const std::string fresh = absl::StrCat("agent-", RandomHex(6));
  VN_RETURN_IF_ERROR(WriteFileAtomic(path, absl::StrCat(fresh, "\n"), 0600));
  return fresh;
}

std::string HostName() {
  char name[256] = {};
  return ::gethostname(name, sizeof(name) - 1) == 0 ? name : "unknown";
}

}  // namespace

Agent::Agent(Options options) : options_(std::move(options)) {}

absl::StatusOr<std::unique_ptr<Agent>> Agent::Create(Options options) {
  std::unique_ptr<Agent> agent(new Agent(std::move(options)));
  VN_RETURN_IF_ERROR(agent->Init());
  return agent;
}

absl::Status Agent::Init() {
  VN_RETURN_IF_ERROR(MakeDirs(options_.data_dir, 0700));
  VN_ASSIGN_OR_RETURN(FileLock lock, FileLock::Acquire(absl::StrCat(options_.data_dir, "/lock"),
                                                       "another vernier-agent on this --data-dir"));
  lock_ = std::move(lock);
  AgentMachine::Options machine;
  v1::AgentHello& hello = machine.hello;
  VN_ASSIGN_OR_RETURN(*hello.mutable_agent_id(), AgentId(absl::StrCat(options_.data_dir, "/agent_id")));
  hello.set_incarnation(RandomHex(8));
  hello.set_version(std::string(Version()));
  hello.set_host(HostName());
  hello.set_isa(CpuIsa());
  for (v1::Device& device : DiscoverDevices(options_.threads)) *hello.add_devices() = std::move(device);
  VN_LOG(INFO) << "agent starting id=" << hello.agent_id() << " isa=" << hello.isa()
               << " threads=" << hello.devices(0).threads();
  machine_ = std::make_unique<AgentMachine>(std::move(machine));

  TaskRunner::Options runner;
  runner.trainer_path = options_.trainer_path;
  runner.run_folder = absl::StrCat(options_.data_dir, "/run");
  runner.log_folder = absl::StrCat(options_.data_dir, "/logs");
  runner.temp_folder = absl::StrCat(options_.data_dir, "/tmp");
  TaskRunner::Callbacks tasks;
  tasks.event = [this](const std::string& lease, v1::TaskEvent event) {
    loop_.Post([this, lease, event = std::move(event)]() mutable {
      metrics_.Observe(event);
      machine_->OnTaskEvent(lease, std::move(event), absl::Now());
    });
  };
  tasks.exit = [this](const std::string& lease, TaskExit exit) {
    loop_.Post([this, lease, exit = std::move(exit)] {
      runner_->Reap(lease);
      VN_LOG(INFO) << "task ended lease=" << lease << " how=\"" << exit.message << "\"";
      machine_->OnTaskExit(lease, exit, absl::Now());
    });
  };
  VN_ASSIGN_OR_RETURN(runner_, TaskRunner::Create(std::move(runner), std::move(tasks)));

  if (!options_.metrics_listen.empty()) {
    VN_ASSIGN_OR_RETURN(metrics_http_, MetricsHttp::Start(options_.metrics_listen, metrics_.collectable()));
    VN_RETURN_IF_ERROR(WriteFileAtomic(absl::StrCat(options_.data_dir, "/metrics_endpoint"),
                                       absl::StrCat(metrics_http_->endpoint(), "\n")));
  }

  ServerLink::Callbacks link;
  link.connected = [this](int64_t stream) {
    loop_.Post([this, stream] {
      stream_ = stream;
      machine_->OnConnected(absl::Now());
    });
  };
  link.message = [this](v1::ServerMessage message) {
    loop_.Post([this, message = std::move(message)] { machine_->OnServerMessage(message, absl::Now()); });
  };
  link.disconnected = [this](const absl::Status&) {
    loop_.Post([this] { machine_->OnDisconnected(absl::Now()); });
  };
  link.refused = [this](const absl::Status& status) {
    loop_.Post([this, status] {
      VN_LOG(ERROR) << "refused by the server status=\"" << status << "\"";
      refusal_ = status;
    });
    Shutdown();
  };
  link_ = std::make_unique<ServerLink>(options_.server, std::move(link));
  return absl::OkStatus();
}

Agent::~Agent() {
  // First what calls into the loop, then the loop's own state.
  link_.reset();
  runner_.reset();
  loop_.Close();
}

absl::Status Agent::Run() {
  while (!machine_->drained() && absl::Now() < give_up_) {
    const absl::Time now = absl::Now();
    if (now >= next_facts_) UpdateFacts(now);
    machine_->OnTick(now);
    CarryOut();
    loop_.RunPosted(std::min({machine_->NextWakeup(), next_facts_, give_up_}));
    CarryOut();
  }
  VN_LOG(INFO) << "agent stopped";
  return refusal_;
}

void Agent::Shutdown() {
  loop_.Post([this] {
    give_up_ = std::min(give_up_, absl::Now() + options_.stop_grace);
    machine_->OnShutdown(absl::Now());
  });
}

void Agent::CarryOut() {
  for (Effect& effect : machine_->TakeEffects()) {
    std::visit(
        [this](auto& what) {
          using T = std::decay_t<decltype(what)>;
          if constexpr (std::is_same_v<T, SendToServer>) {
            link_->Send(stream_, std::move(what.message));
          } else if constexpr (std::is_same_v<T, Reconnect>) {
            VN_LOG(WARNING) << "server stream dropped reason=\"" << what.reason << "\"";
            link_->Reconnect();
          } else if constexpr (std::is_same_v<T, StartTask>) {
            metrics_.CountStart(what.task);
            runner_->Start(what.lease, what.task);
          } else if constexpr (std::is_same_v<T, StopTask>) {
            VN_LOG(INFO) << "task asked to stop lease=" << what.lease << " reason=\"" << what.reason << "\"";
            runner_->Stop(what.lease, what.reason);
          } else if constexpr (std::is_same_v<T, TellTask>) {
            runner_->Tell(what.lease, what.more);
          } else {
            runner_->Kill(what.lease);
          }
        },
        effect);
  }
  metrics_.SetConnected(machine_->connected());
  metrics_.SetLeases(machine_->num_leases());
}

void Agent::UpdateFacts(absl::Time now) {
  next_facts_ = now + absl::Seconds(5);
  const int64_t disk = AvailableDiskBytes(options_.data_dir);
  const int64_t resident = ResidentBytes();
  machine_->SetFacts(disk, resident);
  metrics_.SetFacts(disk, resident);
}

}  // namespace vernier::agent
