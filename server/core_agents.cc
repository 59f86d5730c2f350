#include <algorithm>
#include <set>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "server/core_impl.h"
#include "server/jobs/job_machine.h"
#include "server/jobs/tasks.h"

namespace vernier::server {
namespace {

constexpr absl::Duration kRefusedBackoff = absl::Seconds(2);
constexpr size_t kMaxPhaseBytes = 64;
constexpr size_t kMaxValueNameBytes = 64;
constexpr absl::string_view kNotHeld = "this lease is not held any more; stop what runs under it";

v1::Progress Bounded(v1::Progress progress) {
  progress.set_phase(Shortened(progress.phase(), kMaxPhaseBytes));
  return progress;
}

v1::MetricPoint PointOf(const v1::TaskEvent& event, absl::string_view stage) {
  v1::MetricPoint point;
  point.set_stage(std::string(stage));
  point.set_step(event.metric().step());
  *point.mutable_time() = event.metric().has_time()
                              ? event.metric().time()
                              : ToTimestamp(absl::FromUnixMicros(event.time_unix_micros()));
  for (const auto& [name, value] : event.metric().values()) {
    if (static_cast<int>(point.values_size()) >= kMaxValues || name.size() > kMaxValueNameBytes) {
      VN_LOG(WARNING) << "metric value refused stage=" << stage
                      << " name=" << name.substr(0, kMaxValueNameBytes);
      continue;
    }
    (*point.mutable_values())[name] = value;
  }
  return point;
}

absl::Status GapError(absl::string_view lease, int64_t last, int64_t got) {
  return absl::UnavailableError(absl::StrCat("lease ", lease, ": event ", got, " came after event ", last,
                                             "; dial again and send from ", last + 1));
}

}  // namespace

void Core::AgentConnected(ConnectionId connection, const v1::AgentHello& hello, absl::Time now) {
  impl_->Connect(connection, hello, now);
}
void Core::AgentMessages(absl::Span<const std::pair<ConnectionId, v1::AgentMessage>> messages,
                         absl::Time now) {
  impl_->HandleMessages(messages, now);
}
void Core::AgentMessage(ConnectionId connection, const v1::AgentMessage& message, absl::Time now) {
  const std::pair<ConnectionId, v1::AgentMessage> one(connection, message);
  impl_->HandleMessages({&one, 1}, now);
}
void Core::AgentDisconnected(ConnectionId connection, absl::Time now) { impl_->Disconnect(connection, now); }

std::vector<v1::Agent> Core::ListAgents() const {
  std::vector<v1::Agent> agents = impl_->agents.List();
  for (v1::Agent& agent : agents) {
    for (const auto& [lease, place] : impl_->state.leases()) {
      const JobRecord& record = *impl_->state.Find(place.job);
      if (record.stages(place.stage).lease().agent() == agent.id()) {
        agent.add_leases(absl::StrCat(record.job().name(), " ", record.stages(place.stage).id()));
      }
    }
  }
  return agents;
}

void Core::Impl::Send(ConnectionId connection, v1::ServerMessage message) {
  effects.push_back(SendToAgent{connection, std::move(message)});
}

// --- Coming and going.

void Core::Impl::Connect(ConnectionId connection, const v1::AgentHello& hello, absl::Time now) {
  Draft draft = Begin(now);
  absl::StatusOr<AgentTable::Connected> connected = agents.Connect(connection, hello, now_);
  if (!connected.ok()) {
    VN_LOG(WARNING) << "agent refused why=" << connected.status();
    effects.push_back(CloseConnection{connection, connected.status()});
    return;
  }
  if (connected->replaced) {
    VN_LOG(WARNING) << "agent connection replaced agent=" << hello.agent_id()
                    << " why=" << connected->replaced->reason;
    effects.push_back(*connected->replaced);
  }
  VN_LOG(INFO) << "agent connected agent=" << hello.agent_id() << " host=" << hello.host()
               << " devices=" << hello.devices_size() << " leases=" << hello.leases_size();
  const std::vector<std::string> kept = Reconcile(draft, *connected->session, hello);
  draft.Reschedule();
  if (const absl::Status finished = Finish(draft); !finished.ok()) {
    agents.Disconnect(connection);
    effects.push_back(CloseConnection{connection, absl::UnavailableError(finished.message())});
  }
}

std::vector<std::string> Core::Impl::Reconcile(Draft& draft, const AgentSession& session,
                                               const v1::AgentHello& hello) {
  std::vector<std::string> kept;
  std::vector<v1::ServerMessage> reminders;
  for (const auto& [lease, place] : state.leases()) {
    const LeaseRecord& held = state.Find(place.job)->stages(place.stage).lease();
    if (held.agent() != hello.agent_id()) continue;
    const auto listed = absl::c_find_if(hello.leases(), [&, &lease = lease](const v1::HeldLease& other) {
      return other.lease() == lease && other.token() == held.token();
    });
    if (!held.committed()) {
      WithdrawLease(draft, draft.Edit(place.job), place.stage,
                    absl::StrCat("agent ", hello.agent_id(), " had to connect again"), absl::ZeroDuration());
    } else if (listed != hello.leases().end() && leases_.Renew(lease, now_).ok()) {
      kept.push_back(lease);
      // Events before the first one it still holds were acknowledged.
      int64_t& last = sequences_[lease];
      last = std::max({last, held.last_sequence(), listed->next_sequence() - 1});
      if (!listed->committed()) reminders.push_back(CommitMessage(lease));
      if (held.stopping()) reminders.push_back(StopMessage(lease, "it was asked to stop"));
      if (held.cancelling()) reminders.push_back(CancelMessage(lease, "it did not stop in time"));
    } else if (held.agent_host() == hello.host() && !session.MayStillRun(held.agent_incarnation())) {
      // A process that went takes its trainers along, and by the lock of its data dir no other one starts on
      // its host before it went; one that is still there says that it does not run it. On another host
      // nothing is known of it.
      EndLease(draft, draft.Edit(place.job), place.stage,
               {.code = absl::StatusCode::kAborted,
                .message =
                    absl::StrCat("agent ", hello.agent_id(),
                                 held.agent_incarnation() == hello.incarnation() ? " lost it" : " restarted"),
                .cause = scheduler::Cause::kLost});
    }
  }
  AgentGone(draft, hello.agent_id(), "connected again");
  v1::ServerMessage message;
  v1::Welcome& welcome = *message.mutable_welcome();
  welcome.set_epoch(state.counters.epoch);
  welcome.set_lease_ttl_millis(absl::ToInt64Milliseconds(options.lease.ttl));
  welcome.set_heartbeat_millis(absl::ToInt64Milliseconds(options.heartbeat));
  for (const std::string& lease : kept) welcome.add_keep(lease);
  draft.TellFirst(hello.agent_id(), std::move(message));
  for (v1::ServerMessage& reminder : reminders) draft.Tell(hello.agent_id(), std::move(reminder));
  return kept;
}

// Generations have no second chance: their callers ask again.
void Core::Impl::AgentGone(Draft& draft, absl::string_view agent, absl::string_view why) {
  std::vector<uint64_t> lost;
  for (const auto& [id, generation] : generations.all()) {
    if (!generation.lease.empty() && generation.agent == agent) lost.push_back(id);
  }
  for (const uint64_t id : lost) {
    Generation& generation = *generations.Find(id);
    generation.agent
        .clear();  // there is nobody to tell: what a new hello lists and Welcome does not keep is killed
    EndGeneration(generation, absl::UnavailableError(
                                  absl::StrCat("agent ", agent, " ", why, " while it generated; try again")));
    draft.Reschedule();
  }
}

void Core::Impl::Disconnect(ConnectionId connection, absl::Time now) {
  const std::optional<std::string> agent = agents.Disconnect(connection);
  if (!agent) return;
  VN_LOG(INFO) << "agent disconnected agent=" << *agent;
  Draft draft = Begin(now);
  AgentGone(draft, *agent, "disconnected");
  for (const auto& [lease, place] : state.leases()) {
    const LeaseRecord& held = state.Find(place.job)->stages(place.stage).lease();
    if (held.agent() != *agent || held.committed()) continue;
    WithdrawLease(draft, draft.Edit(place.job), place.stage, absl::StrCat("agent ", *agent, " disconnected"),
                  absl::ZeroDuration());
  }
  draft.Reschedule();
  // After an error the deadline of what was only granted does the same.
  Finish(draft).IgnoreError();
}

// --- Messages.

void Core::Impl::HandleMessages(absl::Span<const std::pair<ConnectionId, v1::AgentMessage>> messages,
                                absl::Time now) {
  Draft draft = Begin(now);
  std::map<ConnectionId, absl::Status> broken;
  std::set<ConnectionId> waiting;  // for the commit
  for (const auto& [connection, message] : messages) {
    AgentSession* session = agents.FindConnection(connection);
    if (session == nullptr || broken.contains(connection)) continue;  // replaced or closed meanwhile
    session->last_heard = now_;
    switch (message.message_case()) {
      case v1::AgentMessage::kHeartbeat:
        HandleHeartbeat(draft, *session, message.heartbeat());
        break;
      case v1::AgentMessage::kPrepareReply:
        HandlePrepareReply(draft, *session, message.prepare_reply());
        waiting.insert(connection);
        break;
      case v1::AgentMessage::kEvent:
        if (const absl::Status handled = HandleEvent(draft, *session, message.event()); !handled.ok()) {
          broken[connection] = handled;
        }
        waiting.insert(connection);
        break;
      default:
        broken[connection] = absl::InvalidArgumentError("a message that an agent does not send here");
    }
  }
  if (const absl::Status finished = Finish(draft); !finished.ok()) {
    // Nothing was acknowledged: they dial again and send it again.
    for (const ConnectionId connection : waiting)
      broken.emplace(connection, absl::UnavailableError(finished.message()));
  }
  for (const auto& [connection, status] : broken) {
    VN_LOG(WARNING) << "agent connection closed why=" << status;
    effects.push_back(CloseConnection{connection, status});
    Disconnect(connection, now_);
  }
}

std::optional<StagePlace> Core::Impl::Locate(const Draft& draft, const AgentSession& session,
                                             absl::string_view lease) const {
  const StagePlace* place = state.FindLease(lease);
  if (place == nullptr) return std::nullopt;
  const LeaseRecord& held = draft.Find(place->job)->stages(place->stage).lease();
  if (held.lease() != lease || held.agent() != session.hello.agent_id()) return std::nullopt;
  return *place;
}

void Core::Impl::HandleHeartbeat(Draft& draft, AgentSession& session, const v1::Heartbeat& heartbeat) {
  v1::ServerMessage message;
  v1::RenewLeases& renew = *message.mutable_renew();
  for (const std::string& lease : heartbeat.leases()) {
    const Generation* generation = generations.FindLease(lease);
    const bool held = Locate(draft, session, lease).has_value() ||
                      (generation != nullptr && generation->agent == session.hello.agent_id());
    if (!held) {
      Send(session.connection, CancelMessage(lease, kNotHeld));
    } else if (leases_.Renew(lease, now_).ok()) {
      renew.add_leases(lease);
    }
  }
  Send(session.connection, std::move(message));
  EndUnlisted(draft, session, heartbeat);
}

// A lease was committed after the agent's yes, and heartbeats come in the order they were sent: a committed
// lease that one of them does not list has been let go (killed when asked to, or forgotten on the way out).
void Core::Impl::EndUnlisted(Draft& draft, const AgentSession& session, const v1::Heartbeat& heartbeat) {
  for (const auto& [lease, place] : state.leases()) {
    const LeaseRecord& held = draft.Find(place.job)->stages(place.stage).lease();
    if (held.lease() != lease || !held.committed() || held.agent() != session.hello.agent_id() ||
        held.agent_incarnation() != session.hello.incarnation() ||
        absl::c_linear_search(heartbeat.leases(), lease)) {
      continue;
    }
    EndLease(draft, draft.Edit(place.job), place.stage,
             {.code = absl::StatusCode::kAborted,
              .message = absl::StrCat("agent ", session.hello.agent_id(), " does not run it any more"),
              .cause = scheduler::Cause::kLost});
  }
}

void Core::Impl::HandlePrepareReply(Draft& draft, const AgentSession& session,
                                    const v1::PrepareReply& reply) {
  if (Generation* generation = generations.FindLease(reply.lease());
      generation != nullptr && generation->agent == session.hello.agent_id()) {
    if (reply.ok()) {
      generation->committed = true;
      leases_.Grant(reply.lease(), now_);
      Send(session.connection, CommitMessage(reply.lease()));
      if (generation->interrupted) SendInterrupt(*generation);
    } else {
      EndGeneration(*generation,
                    absl::UnavailableError(absl::StrCat("agent ", generation->agent, ": ",
                                                        Shortened(reply.reason(), kMaxNoteBytes))));
      draft.Reschedule();
    }
    return;
  }
  const std::optional<StagePlace> place = Locate(draft, session, reply.lease());
  if (!place) {
    if (reply.ok()) Send(session.connection, CancelMessage(reply.lease(), kNotHeld));
    return;
  }
  JobRecord& record = draft.Edit(place->job);
  if (record.stages(place->stage).lease().committed()) return;  // said twice
  if (reply.ok()) {
    CommitLease(draft, record, place->stage);
  } else {
    WithdrawLease(draft, record, place->stage,
                  absl::StrCat("agent ", session.hello.agent_id(),
                               " refused: ", Shortened(reply.reason(), kMaxNoteBytes)),
                  kRefusedBackoff);
  }
}

absl::Status Core::Impl::HandleEvent(Draft& draft, const AgentSession& session,
                                     const v1::LeasedEvent& event) {
  if (Generation* generation = generations.FindLease(event.lease());
      generation != nullptr && generation->agent == session.hello.agent_id() &&
      generation->token == event.token()) {
    const uint64_t id = generation->id;
    const absl::Status handled = HandleGenerateEvent(*generation, session, event);
    // It may have freed its place, or may be asked for it.
    if (generations.Find(id) == nullptr || generation->idle()) draft.Reschedule();
    return handled;
  }
  const std::optional<StagePlace> place = Locate(draft, session, event.lease());
  if (!place || draft.Find(place->job)->stages(place->stage).lease().token() != event.token()) {
    const int64_t handled = draft.HandledOf(event.lease());
    // After its `finished` in the same batch nothing is expected; of a lease that is not held nothing counts.
    if (handled == 0) Send(session.connection, CancelMessage(event.lease(), kNotHeld));
    return absl::OkStatus();
  }
  const LeaseRecord& lease = draft.Find(place->job)->stages(place->stage).lease();
  if (!lease.committed()) {
    return absl::InvalidArgumentError(
        absl::StrCat("lease ", event.lease(), ": an event before the lease was committed"));
  }
  const auto known = sequences_.find(event.lease());
  const int64_t last = std::max(
      {known == sequences_.end() ? 0 : known->second, draft.HandledOf(event.lease()), lease.last_sequence()});
  const int64_t sequence = event.event().sequence();
  if (sequence <= last) {
    draft.Handled(event.lease(), session.hello.agent_id(), last);  // its acknowledgement was lost
    return absl::OkStatus();
  }
  if (sequence != last + 1) return GapError(event.lease(), last, sequence);
  ApplyEvent(draft, *place, event);
  draft.Handled(event.lease(), session.hello.agent_id(), sequence);
  return absl::OkStatus();
}

void Core::Impl::ApplyEvent(Draft& draft, const StagePlace& place, const v1::LeasedEvent& leased) {
  const v1::TaskEvent& event = leased.event();
  const JobRecord& before = *draft.Find(place.job);
  // What comes often is not worth a copy of the record. Neither is lost with it: a point replaces itself when
  // it is sent again, and progress is only the newest.
  if (event.has_progress()) {
    const v1::Progress progress = Bounded(event.progress());
    draft.SetProgress(place, progress);
    JobProgress live{before.job().name(), {}};
    *live.event.mutable_time() = ToTimestamp(now_);
    live.event.set_level("info");
    live.event.set_stage(before.stages(place.stage).id());
    live.event.set_state(before.job().state());
    *live.event.mutable_progress() = progress;
    draft.Then(std::move(live));
    return;
  }
  if (event.has_metric() && !before.stages(place.stage).lease().prepare_task()) {
    draft.AddPoint(before, PointOf(event, before.stages(place.stage).id()));
    draft.Then(MetricsChanged{before.job().name()});
    return;
  }
  JobRecord& record = draft.Edit(place.job);
  record.mutable_stages(place.stage)->mutable_lease()->set_last_sequence(event.sequence());
  if (event.has_finished()) {
    EndLease(draft, record, place.stage, EndOf(event.finished()),
             {event.finished().results().begin(), event.finished().results().end()});
    return;
  }
  if (const absl::Status applied = ApplyTaskEvent(draft, record, place.stage, event); !applied.ok()) {
    VN_LOG(WARNING) << "task event refused lease=" << leased.lease() << " why=" << applied;
    draft.AddEvent(record, "warning", record.stages(place.stage).id(),
                   absl::StrCat("refused: ", applied.message()));
  }
}

absl::Status Core::Impl::HandleGenerateEvent(Generation& generation, const AgentSession& session,
                                             const v1::LeasedEvent& leased) {
  const v1::TaskEvent& event = leased.event();
  if (event.sequence() > generation.last_sequence + 1) {
    return GapError(leased.lease(), generation.last_sequence, event.sequence());
  }
  const bool repeated = event.sequence() <= generation.last_sequence;
  generation.last_sequence = std::max(generation.last_sequence, event.sequence());
  Send(session.connection, AckMessage(leased.lease(), generation.last_sequence));
  if (repeated) return absl::OkStatus();
  if (event.has_generated()) {
    const v1::GeneratedText& text = event.generated();
    GenerateOutput output{generation.id, {}};
    output.response.set_prompt(text.prompt());
    output.response.set_text(text.text());
    output.response.set_done(text.done());
    output.response.set_stop_reason(text.stop_reason());
    output.response.set_num_tokens(text.num_tokens());
    output.response.set_error(text.error());
    effects.push_back(std::move(output));
    if (text.done() && --generation.open_prompts == 0 && generation.task.keep()) generation.idle_since = now_;
  } else if (event.has_finished()) {
    const scheduler::AttemptEnd end = EndOf(event.finished());
    const absl::StatusCode code =
        end.cause == scheduler::Cause::kLost || end.stopped ? absl::StatusCode::kUnavailable : end.code;
    generation.agent.clear();  // nothing is left to cancel
    const std::string message =
        Naming(end.message, "model", generation.model_name, generation.task.model_key());
    EndGeneration(generation, absl::Status(code, code == absl::StatusCode::kOk ? "" : message));
  }
  return absl::OkStatus();
}

}  // namespace vernier::server
