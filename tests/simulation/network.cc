#include "tests/simulation/network.h"

#include <algorithm>
#include <utility>

namespace vernier::simulation {

server::ConnectionId Network::Dial(const std::shared_ptr<SimAgent>& agent, bool server_is_up) {
  const server::ConnectionId connection = ++last_connection_;
  wires_[connection].agent = agent;
  if (!server_is_up) {
    Break(connection, absl::UnavailableError("connection refused"));
  } else if (world_.Chance(world_.faults.refuse_stream)) {
    Break(connection, absl::ResourceExhaustedError("too many streams"));
  }
  return connection;
}

absl::Time Network::WhenFree(const Held& held, const std::string& agent, absl::Time when) const {
  const auto it = held.find(agent);
  return it == held.end() ? when : std::max(when, it->second);
}

void Network::SendUp(server::ConnectionId connection, v1::AgentMessage message) {
  const auto it = wires_.find(connection);
  if (it == wires_.end()) return;
  if (world_.Chance(world_.faults.break_connection)) {
    return Break(connection, absl::UnavailableError("the connection broke"));
  }
  Wire& wire = it->second;
  const absl::Time arrival = world_.now() + world_.Span(absl::Milliseconds(1), absl::Milliseconds(200));
  wire.up = std::max(wire.up, WhenFree(held_up_, wire.agent->id(), arrival));
  world_.timeline.At(wire.up,
                     [this, connection, message = std::move(message)] { Arrive(connection, message); });
}

void Network::Arrive(server::ConnectionId connection, const v1::AgentMessage& message) {
  const auto it = wires_.find(connection);
  if (it == wires_.end()) return;
  if (message.has_hello() == it->second.said_hello) {
    world_.Violation(it->second.agent->id(), " says out of turn: ", message.ShortDebugString());
    return Break(connection, absl::InvalidArgumentError("an agent says hello once, first on its stream"));
  }
  if (message.has_hello()) {
    it->second.said_hello = true;
    return server_end_.connected(connection, message.hello());
  }
  if (message.has_event() && world_.Chance(world_.faults.zombie)) {
    v1::AgentMessage zombie = message;
    zombie.mutable_event()->set_token(message.event().token() - 1);
    v1::CheckpointInfo& checkpoint = *zombie.mutable_event()->mutable_event()->mutable_checkpoint();
    checkpoint.set_step(kTotalSteps);
    checkpoint.set_key("zombie");
    server_end_.message(connection, zombie);
  }
  if (message.has_event() && world_.Chance(world_.faults.lose_event)) return;
  server_end_.message(connection, message);
}

void Network::SendDown(server::ConnectionId connection, v1::ServerMessage message) {
  const auto it = wires_.find(connection);
  if (it == wires_.end()) return;
  const Faults& faults = world_.faults;
  if (message.has_renew() && world_.Chance(faults.lose_renewal)) return;
  Wire& wire = it->second;
  const absl::Time arrival = world_.now() + world_.Span(absl::Milliseconds(1), absl::Milliseconds(200));
  const absl::Time in_order = std::max(wire.down, WhenFree(held_down_, wire.agent->id(), arrival));
  const absl::Time later = in_order + world_.Span(absl::Milliseconds(1), absl::Seconds(10));
  if (message.has_ack() && world_.Chance(faults.delay_ack)) {
    return DeliverDown(connection, later, std::move(message));
  }
  wire.down = in_order;
  const bool repeatable =
      message.has_ack() || message.has_commit() || message.has_stop() || message.has_cancel();
  if (repeatable && world_.Chance(faults.repeat)) DeliverDown(connection, later, message);
  DeliverDown(connection, in_order, std::move(message));
}

void Network::DeliverDown(server::ConnectionId connection, absl::Time when, v1::ServerMessage message) {
  world_.timeline.At(when, [this, connection, message = std::move(message)] {
    const std::shared_ptr<SimAgent> agent = AgentOf(connection);
    if (agent == nullptr) return;
    if (world_.Chance(world_.faults.break_connection)) {
      return Break(connection, absl::UnavailableError("the connection broke"));
    }
    agent->Receive(connection, message);
  });
}

std::shared_ptr<SimAgent> Network::AgentOf(server::ConnectionId connection) const {
  const auto it = wires_.find(connection);
  return it == wires_.end() ? nullptr : it->second.agent;
}

std::shared_ptr<SimAgent> Network::Cut(server::ConnectionId connection) {
  const std::shared_ptr<SimAgent> agent = AgentOf(connection);
  if (agent == nullptr) return nullptr;
  wires_.erase(connection);
  const absl::Time learnt = world_.now() + world_.Span(absl::ZeroDuration(), absl::Seconds(3));
  world_.timeline.At(WhenFree(held_up_, agent->id(), learnt),
                     [this, connection] { server_end_.disconnected(connection); });
  return agent;
}

void Network::Break(server::ConnectionId connection, const absl::Status& reason) {
  const std::shared_ptr<SimAgent> agent = Cut(connection);
  if (agent == nullptr) return;
  const absl::Time learnt = world_.now() + world_.Span(absl::ZeroDuration(), absl::Seconds(3));
  world_.timeline.At(WhenFree(held_down_, agent->id(), learnt),
                     [agent, connection, reason] { agent->Closed(connection, reason); });
}

void Network::BreakAll(const absl::Status& reason) {
  while (!wires_.empty()) Break(wires_.begin()->first, reason);
}

void Network::HangUp(server::ConnectionId connection) { Cut(connection); }

}  // namespace vernier::simulation
