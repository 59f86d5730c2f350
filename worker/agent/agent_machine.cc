#include "worker/agent/agent_machine.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/log.h"

namespace vernier::agent {

AgentMachine::AgentMachine(Options options) : options_(std::move(options)) {}

void AgentMachine::OnConnected(absl::Time now) {
  stream_up_ = true;
  welcomed_ = false;
  hello_time_ = now;
  last_heard_ = now;
  heartbeat_times_.clear();
  v1::AgentMessage message;
  v1::AgentHello& hello = *message.mutable_hello();
  hello = options_.hello;
  for (const auto& [id, lease] : leases_) {
    v1::HeldLease& held = *hello.add_leases();
    held.set_lease(id);
    held.set_token(lease.task.token());
    held.set_committed(lease.phase != Phase::kPrepared);
    held.set_next_sequence(lease.events.empty() ? lease.next_sequence : lease.events.front().sequence());
  }
  Send(std::move(message));
}

void AgentMachine::OnDisconnected(absl::Time) {
  stream_up_ = false;
  welcomed_ = false;
  next_heartbeat_ = absl::InfiniteFuture();
  heartbeat_times_.clear();
  // What was meant for this stream must not come before the hello of the next one.
  std::erase_if(effects_, [](const Effect& effect) {
    return std::holds_alternative<SendToServer>(effect) || std::holds_alternative<Reconnect>(effect);
  });
  // Everything that was not stored goes out again on the next stream.
  for (auto& [id, lease] : leases_) {
    lease.next_to_send = lease.events.empty() ? lease.next_sequence : lease.events.front().sequence();
  }
}

void AgentMachine::OnServerMessage(const v1::ServerMessage& message, absl::Time now) {
  if (!stream_up_) return;  // left over from a stream that broke
  last_heard_ = now;
  switch (message.message_case()) {
    case v1::ServerMessage::kWelcome:
      return Welcome(message.welcome(), now);
    case v1::ServerMessage::kPrepare:
      return Prepare(message.prepare(), now);
    case v1::ServerMessage::kCommit:
      return Commit(message.commit().lease(), now);
    case v1::ServerMessage::kCancel:
      return Cancel(message.cancel().lease(), message.cancel().reason(), now);
    case v1::ServerMessage::kStop:
      return Stop(message.stop().lease(), message.stop().reason());
    case v1::ServerMessage::kAck:
      return Ack(message.ack());
    case v1::ServerMessage::kGenerateMore:
      return GenerateMore(message.generate_more());
    case v1::ServerMessage::kRenew: {
      // Answers come in the order of the heartbeats: the lease lives on from when this one was sent.
      if (heartbeat_times_.empty()) return;
      const absl::Time sent = heartbeat_times_.front();
      heartbeat_times_.pop_front();
      for (const std::string& id : message.renew().leases()) {
        const auto it = leases_.find(id);
        if (it != leases_.end()) it->second.expiry = std::max(it->second.expiry, sent + ttl_);
      }
      return;
    }
    case v1::ServerMessage::MESSAGE_NOT_SET:
      return;  // from a newer server: nothing that this version knows
  }
}

void AgentMachine::Welcome(const v1::Welcome& welcome, absl::Time now) {
  welcomed_ = true;
  if (welcome.lease_ttl_millis() > 0) ttl_ = absl::Milliseconds(welcome.lease_ttl_millis());
  if (welcome.heartbeat_millis() > 0) heartbeat_ = absl::Milliseconds(welcome.heartbeat_millis());
  next_heartbeat_ = now + heartbeat_;
  const absl::flat_hash_set<std::string> keep(welcome.keep().begin(), welcome.keep().end());
  std::vector<std::string> ids;
  for (const auto& [id, lease] : leases_) ids.push_back(id);
  for (const std::string& id : ids) {
    Lease& lease = leases_.at(id);
    if (!keep.contains(id)) {
      Cancel(id, "the server gave its lease up", now);
      continue;
    }
    lease.expiry = std::max(lease.expiry, hello_time_ + ttl_);
    SendEvents(id, lease);
  }
}

std::optional<std::string> AgentMachine::RefusalOf(const v1::PrepareLease& prepare) const {
  if (shutting_down_) return "the agent is shutting down";
  if (static_cast<int>(leases_.size()) >= options_.max_leases) {
    return absl::StrCat("the agent holds ", leases_.size(), " leases, its limit");
  }
  const auto& devices = options_.hello.devices();
  const bool known = std::any_of(devices.begin(), devices.end(),
                                 [&](const v1::Device& device) { return device.id() == prepare.device(); });
  if (!known) return absl::StrCat("the agent has no device \"", prepare.device(), "\"");
  if (prepare.task().work_case() == v1::Task::WORK_NOT_SET) {
    return "the agent does not know this kind of task; its version is older than the server's";
  }
  return std::nullopt;
}

void AgentMachine::Prepare(const v1::PrepareLease& prepare, absl::Time now) {
  v1::AgentMessage message;
  v1::PrepareReply& reply = *message.mutable_prepare_reply();
  reply.set_lease(prepare.lease());
  if (leases_.contains(prepare.lease())) {
    reply.set_ok(true);  // asked again
  } else if (const std::optional<std::string> refusal = RefusalOf(prepare)) {
    reply.set_reason(*refusal);
  } else {
    Lease& lease = leases_[prepare.lease()];
    lease.task = prepare.task();
    lease.expiry = now + ttl_;
    reply.set_ok(true);
  }
  Send(std::move(message));
}

void AgentMachine::Commit(const std::string& id, absl::Time) {
  const auto it = leases_.find(id);
  if (it == leases_.end() || it->second.phase != Phase::kPrepared) return;  // a repeated or late message
  it->second.phase = Phase::kRunning;
  VN_LOG(INFO) << "task started lease=" << id << " job=" << it->second.task.job()
               << " stage=" << it->second.task.stage() << " attempt=" << it->second.task.attempt();
  effects_.push_back(StartTask{id, it->second.task});
}

void AgentMachine::Cancel(const std::string& id, absl::string_view reason, absl::Time) {
  const auto it = leases_.find(id);
  if (it == leases_.end()) return;
  // Nobody waits for what it says from here on.
  it->second.events.clear();
  it->second.finished = true;
  if (it->second.phase == Phase::kRunning) {
    Kill(id, it->second, std::string(reason));
  } else {
    leases_.erase(it);
  }
}

void AgentMachine::Stop(const std::string& id, absl::string_view reason) {
  const auto it = leases_.find(id);
  if (it == leases_.end()) return;
  Lease& lease = it->second;
  if (lease.phase != Phase::kRunning || lease.stop_sent) return;
  lease.stop_sent = true;
  effects_.push_back(StopTask{id, std::string(reason)});
}

void AgentMachine::GenerateMore(const v1::GenerateMore& more) {
  const auto it = leases_.find(more.lease());
  if (it == leases_.end() || it->second.phase != Phase::kRunning) return;  // the server hears of its end
  effects_.push_back(TellTask{it->first, more});
}

void AgentMachine::Kill(const std::string& id, Lease& lease, std::string reason) {
  if (lease.phase != Phase::kRunning || lease.kill_sent) return;
  lease.kill_sent = true;
  lease.kill_reason = reason;
  VN_LOG(WARNING) << "task killed lease=" << id << " job=" << lease.task.job() << " reason=\"" << reason
                  << "\"";
  effects_.push_back(KillTask{id, std::move(reason)});
}

void AgentMachine::Ack(const v1::AckEvents& ack) {
  const auto it = leases_.find(ack.lease());
  if (it == leases_.end()) return;
  std::deque<v1::TaskEvent>& events = it->second.events;
  while (!events.empty() && events.front().sequence() <= ack.sequence()) events.pop_front();
  it->second.next_to_send = std::max(it->second.next_to_send, ack.sequence() + 1);
  ForgetIfDone(ack.lease());
}

void AgentMachine::Append(Lease& lease, v1::TaskEvent event, absl::Time now) {
  if (event.time_unix_micros() == 0) event.set_time_unix_micros(absl::ToUnixMicros(now));
  const bool progress = event.has_progress();
  if (progress && !lease.events.empty() && lease.events.back().has_progress() &&
      lease.events.back().sequence() >= lease.first_unsent) {
    event.set_sequence(lease.events.back().sequence());
    lease.events.back() = std::move(event);
    return;
  }
  event.set_sequence(lease.next_sequence++);
  lease.events.push_back(std::move(event));
}

void AgentMachine::OnTaskEvent(absl::string_view id, v1::TaskEvent event, absl::Time now) {
  const auto it = leases_.find(std::string(id));
  if (it == leases_.end() || it->second.phase != Phase::kRunning || it->second.finished) return;
  Lease& lease = it->second;
  lease.finished = event.has_finished();
  Append(lease, std::move(event), now);
  SendEvents(it->first, lease);
  if (lease.events.size() > options_.max_unstored_events) {
    Kill(it->first, lease,
         absl::StrCat("more than ", options_.max_unstored_events,
                      " of its events wait for a server that does not store them"));
  }
}

void AgentMachine::OnTaskExit(absl::string_view id, const TaskExit& exit, absl::Time now) {
  const auto it = leases_.find(std::string(id));
  if (it == leases_.end()) return;
  Lease& lease = it->second;
  if (lease.phase != Phase::kRunning) return;
  lease.phase = Phase::kEnded;
  if (!lease.finished) {
    lease.finished = true;
    v1::TaskEvent event;
    v1::TaskFinished& finished = *event.mutable_finished();
    finished.set_code(static_cast<int>(absl::StatusCode::kAborted));
    finished.set_cause(v1::TaskFinished::CAUSE_KILLED);
    finished.set_message(lease.kill_sent ? absl::StrCat("the agent killed the task: ", lease.kill_reason)
                                         : exit.message);
    Append(lease, std::move(event), now);
    SendEvents(it->first, lease);
  }
  ForgetIfDone(it->first);
}

void AgentMachine::SendEvents(const std::string& id, Lease& lease) {
  if (!welcomed_) return;
  for (const v1::TaskEvent& event : lease.events) {
    if (event.sequence() < lease.next_to_send) continue;
    v1::AgentMessage message;
    v1::LeasedEvent& leased = *message.mutable_event();
    leased.set_lease(id);
    leased.set_token(lease.task.token());
    *leased.mutable_event() = event;
    Send(std::move(message));
    lease.next_to_send = event.sequence() + 1;
    lease.first_unsent = std::max(lease.first_unsent, lease.next_to_send);
  }
}

void AgentMachine::ForgetIfDone(const std::string& id) {
  const auto it = leases_.find(id);
  if (it != leases_.end() && it->second.phase == Phase::kEnded && it->second.events.empty())
    leases_.erase(it);
}

void AgentMachine::OnShutdown(absl::Time) {
  if (shutting_down_) return;
  shutting_down_ = true;
  std::vector<std::string> prepared;
  for (auto& [id, lease] : leases_) {
    if (lease.phase == Phase::kPrepared) {
      prepared.push_back(id);
    } else {
      Stop(id, "the agent is shutting down");
    }
  }
  for (const std::string& id : prepared) leases_.erase(id);
}

bool AgentMachine::drained() const {
  if (!shutting_down_) return false;
  return std::all_of(leases_.begin(), leases_.end(), [this](const auto& entry) {
    return entry.second.phase == Phase::kEnded && (entry.second.events.empty() || !welcomed_);
  });
}

void AgentMachine::OnTick(absl::Time now) {
  std::vector<std::string> lapsed;
  for (auto& [id, lease] : leases_) {
    if (now < lease.expiry) continue;
    if (lease.phase == Phase::kRunning) {
      Stop(id, "its lease was not renewed in time");
      if (now >= lease.expiry + options_.kill_margin * ttl_)
        Kill(id, lease, "its lease was not renewed in time");
    } else if (lease.phase == Phase::kPrepared) {
      lapsed.push_back(id);
    }
  }
  for (const std::string& id : lapsed) leases_.erase(id);
  if (stream_up_ && now >= SilentFrom()) {
    // A half-open connection looks alive for minutes; a new one tells. Nothing still under way on it counts.
    OnDisconnected(now);
    effects_.push_back(
        Reconnect{absl::StrCat("the server has not answered for ", absl::FormatDuration(ttl_))});
    return;
  }
  if (welcomed_ && now >= next_heartbeat_) {
    next_heartbeat_ = now + heartbeat_;
    heartbeat_times_.push_back(now);
    v1::AgentMessage message;
    v1::Heartbeat& heartbeat = *message.mutable_heartbeat();
    for (const auto& [id, lease] : leases_) heartbeat.add_leases(id);
    heartbeat.set_available_disk_bytes(available_disk_bytes_);
    heartbeat.set_resident_bytes(resident_bytes_);
    Send(std::move(message));
  }
}

absl::Time AgentMachine::SilentFrom() const {
  const absl::Time silent = last_heard_ + ttl_;
  if (heartbeat_times_.empty()) return silent;
  // Answers are told apart by their order alone: one that stays out makes all later ones renew for less. An
  // answer as late as this renews until before the next one comes.
  const absl::Duration too_late = std::max(ttl_ - heartbeat_, ttl_ / 2);
  return std::min(silent, heartbeat_times_.front() + too_late);
}

absl::Time AgentMachine::NextWakeup() const {
  absl::Time next = next_heartbeat_;
  if (stream_up_) next = std::min(next, SilentFrom());
  for (const auto& [id, lease] : leases_) {
    if (lease.phase == Phase::kEnded) continue;
    if (lease.kill_sent) continue;
    next = std::min(next, lease.stop_sent && lease.phase == Phase::kRunning
                              ? lease.expiry + options_.kill_margin * ttl_
                              : lease.expiry);
  }
  return next;
}

void AgentMachine::SetFacts(int64_t available_disk_bytes, int64_t resident_bytes) {
  available_disk_bytes_ = available_disk_bytes;
  resident_bytes_ = resident_bytes;
}

}  // namespace vernier::agent
