#include "server/dispatch/agent_table.h"

#include <algorithm>
#include <set>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "server/jobs/draft.h"
#include "storage/layout.h"

namespace vernier::server {
namespace {

constexpr int kMaxDevices = 64;
constexpr int kMaxHeldLeases = 4096;
constexpr int kMaxThreads = 4096;
constexpr size_t kMaxWordBytes = 128;
constexpr size_t kMaxSuperseded = 16;

absl::Status CheckHello(const v1::AgentHello& hello) {
  VN_RETURN_IF_ERROR(storage::CheckId("agent", hello.agent_id()));
  const auto refuse = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("agent ", hello.agent_id(), ": ", what));
  };
  if (hello.incarnation().empty() || hello.incarnation().size() > kMaxWordBytes) {
    return refuse("incarnation has 1 to 128 bytes");
  }
  if (hello.host().size() > kMaxWordBytes || hello.version().size() > kMaxWordBytes ||
      hello.isa().size() > kMaxWordBytes) {
    return refuse("host, version and isa have at most 128 bytes");
  }
  if (hello.devices_size() < 1 || hello.devices_size() > kMaxDevices) return refuse("it has 1 to 64 devices");
  if (hello.leases_size() > kMaxHeldLeases) return refuse("it holds more than 4096 leases");
  std::set<std::string> ids;
  for (const v1::Device& device : hello.devices()) {
    if (device.id().empty() || device.id().size() > kMaxWordBytes || device.kind().size() > kMaxWordBytes ||
        !ids.insert(device.id()).second) {
      return refuse("every device has an id of its own, 1 to 128 bytes");
    }
    if (device.threads() < 1 || device.threads() > kMaxThreads) {
      return refuse(
          absl::StrCat("device ", device.id(), " has ", device.threads(), " threads; give it 1 to 4096"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool AgentSession::MayStillRun(absl::string_view incarnation) const {
  return absl::c_linear_search(superseded, incarnation);
}

absl::StatusOr<AgentTable::Connected> AgentTable::Connect(ConnectionId connection,
                                                          const v1::AgentHello& hello, absl::Time now) {
  VN_RETURN_IF_ERROR(CheckHello(hello));
  auto it = sessions_.find(hello.agent_id());
  if (it == sessions_.end()) {
    VN_RETURN_IF_ERROR(MakeRoom());
    it = sessions_.emplace(hello.agent_id(), AgentSession()).first;
  }
  AgentSession& session = it->second;
  if (session.MayStillRun(hello.incarnation())) {
    return absl::FailedPreconditionError(absl::StrCat("agent ", hello.agent_id(),
                                                      ": a newer process on host ", session.hello.host(),
                                                      " has this id; give each agent a data dir of its own"));
  }
  Connected out{.session = &session};
  if (session.connection != 0) {
    out.replaced = CloseConnection{session.connection};
    if (session.hello.incarnation() == hello.incarnation()) {
      out.replaced->reason = absl::UnavailableError("this agent has dialled again");
    } else {
      out.replaced->reason = absl::FailedPreconditionError(
          absl::StrCat("agent ", hello.agent_id(), ": a newer process on host ", hello.host(),
                       " took this id; give each agent a data dir of its own"));
      session.superseded.push_back(session.hello.incarnation());
      if (session.superseded.size() > kMaxSuperseded) session.superseded.pop_front();
    }
  }
  session.hello = hello;
  session.hello.clear_leases();
  session.connection = connection;
  session.last_heard = now;
  return out;
}

// Forgets the agent that has been away longest when the table is full.
absl::Status AgentTable::MakeRoom() {
  if (static_cast<int>(sessions_.size()) < max_agents_) return absl::OkStatus();
  auto oldest = sessions_.end();
  for (auto it = sessions_.begin(); it != sessions_.end(); ++it) {
    if (it->second.connection != 0) continue;
    if (oldest == sessions_.end() || it->second.last_heard < oldest->second.last_heard) oldest = it;
  }
  if (oldest == sessions_.end()) {
    return absl::ResourceExhaustedError(
        absl::StrCat(max_agents_, " agents are connected, which is the limit"));
  }
  sessions_.erase(oldest);
  return absl::OkStatus();
}

std::optional<std::string> AgentTable::Disconnect(ConnectionId connection) {
  for (auto& [id, session] : sessions_) {
    if (connection == 0 || session.connection != connection) continue;
    session.connection = 0;
    return id;
  }
  return std::nullopt;
}

AgentSession* AgentTable::FindConnection(ConnectionId connection) {
  if (connection == 0) return nullptr;
  for (auto& [id, session] : sessions_) {
    if (session.connection == connection) return &session;
  }
  return nullptr;
}

const AgentSession* AgentTable::Find(absl::string_view agent) const {
  const auto it = sessions_.find(agent);
  return it == sessions_.end() ? nullptr : &it->second;
}

ConnectionId AgentTable::ConnectionOf(absl::string_view agent) const {
  const AgentSession* session = Find(agent);
  return session == nullptr ? 0 : session->connection;
}

std::vector<scheduler::NodeView> AgentTable::Nodes() const {
  std::vector<scheduler::NodeView> nodes;
  for (const auto& [id, session] : sessions_) {
    if (session.connection == 0) continue;
    scheduler::NodeView node{.agent = id, .host = session.hello.host(), .isa = session.hello.isa()};
    for (const v1::Device& device : session.hello.devices()) {
      node.devices.push_back(
          {device.id(), device.kind(), device.threads(), device.memory_bytes(), device.bf16()});
    }
    nodes.push_back(std::move(node));
  }
  return nodes;
}

std::vector<v1::Agent> AgentTable::List() const {
  std::vector<v1::Agent> agents;
  for (const auto& [id, session] : sessions_) {
    v1::Agent agent;
    agent.set_id(id);
    agent.set_host(session.hello.host());
    agent.set_version(session.hello.version());
    agent.set_connected(session.connection != 0);
    *agent.mutable_devices() = session.hello.devices();
    *agent.mutable_last_heartbeat() = ToTimestamp(session.last_heard);
    agents.push_back(std::move(agent));
  }
  return agents;
}

int64_t AgentTable::num_connected() const {
  return absl::c_count_if(sessions_, [](const auto& entry) { return entry.second.connection != 0; });
}

}  // namespace vernier::server
