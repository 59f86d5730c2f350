// The parts of Core. core.cc: life, time, placing, committing. core_jobs.cc, core_things.cc,
// core_generate.cc: faces. core_agents.cc: agents. core_plan.cc: what stages will need.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "scheduler/lease_table.h"
#include "scheduler/retry.h"
#include "server/core.h"
#include "server/dispatch/agent_table.h"
#include "server/dispatch/generations.h"
#include "server/jobs/draft.h"
#include "server/jobs/state.h"
#include "worker/plan/stage_plan.h"

namespace vernier::server {

class Core::Impl {
 public:
  Impl(Options options, JobStore& store, StoreSnapshot snapshot, absl::Time now);

  // A change begins: time first, so that what lapsed meanwhile is not acted upon.
  Draft Begin(absl::Time now);
  // Schedules if the draft asks for it, commits, and turns what follows into effects. After an error nothing
  // changed.
  absl::Status Finish(Draft& draft);

  // core.cc
  void Tick(absl::Time now);
  absl::Time NextWakeup() const;
  v1::Job View(const JobRecord& record) const;

  // core_jobs.cc
  // FailedPrecondition: what a failed job builds on is not there. ResourceExhausted: the queue is full.
  absl::Status CheckReopen(const JobRecord& record) const;
  absl::Status CheckRoom(absl::string_view tenant) const;
  absl::StatusOr<v1::Job> Ask(absl::string_view tenant, absl::string_view name, JobRecord::Intent intent,
                              absl::Time now);

  // core_plan.cc
  // Plans what was not planned yet and is about to wait for a device: fails what fits on none of those there
  // are, once no agent that was there a moment ago may come back.
  void PlanStages(Draft& draft);

  // core_agents.cc
  void Connect(ConnectionId connection, const v1::AgentHello& hello, absl::Time now);
  void HandleMessages(absl::Span<const std::pair<ConnectionId, v1::AgentMessage>> messages, absl::Time now);
  void Disconnect(ConnectionId connection, absl::Time now);

  // core_generate.cc
  absl::StatusOr<uint64_t> StartGenerate(absl::string_view tenant, const v1::GenerateRequest& request,
                                         bool keep, absl::Time now);
  void SendInterrupt(const Generation& generation);
  void SendToAgentOf(const Generation& generation, v1::ServerMessage message);
  void EndGeneration(Generation& generation, const absl::Status& status);

  // Members that the faces in core_*.cc use directly.
  const Options options;
  JobStore& store;
  State state;
  AgentTable agents;
  Generations generations;
  std::vector<Effect> effects;
  absl::Status store_status;

 private:
  friend class Core;

  // core.cc
  void HandleTime(Draft& draft);
  // False: a stage that was placed cannot start; what it held may be free now.
  bool Place(Draft& draft);
  // The view, and for each of its pending work whose it is.
  struct Cluster {
    scheduler::ClusterView view;
    struct Owner {
      StagePlace place;  // stage -1: a generation
      uint64_t generation = 0;
    };
    std::vector<Owner> owners;
  };
  Cluster ClusterOf(const Draft& draft) const;
  // The one that has rested longest. False: none rests.
  bool EndRestingConversation();
  // Keeps why things wait, for views and the log.
  void NoteWaiting(const Draft& draft, std::map<std::string, std::string> waiting);
  bool Grant(Draft& draft, const StagePlace& place, const scheduler::Placement& placement);
  void GrantGeneration(Draft& draft, uint64_t id, const scheduler::Placement& placement);
  std::string NewLeaseId(uint64_t token) const;

  // core_plan.cc
  struct Awaited {
    std::string who;
    absl::Time until;
  };
  // Agents that may come back, and until when that is expected of them.
  std::optional<Awaited> AwaitedAgents() const;
  void PlanStage(Draft& draft, const std::string& job, int stage, const std::vector<plan::Device>& devices);

  // core_agents.cc
  void Send(ConnectionId connection, v1::ServerMessage message);
  // What the agent says it holds, compared with what we know. Returns the leases it keeps.
  std::vector<std::string> Reconcile(Draft& draft, const AgentSession& session, const v1::AgentHello& hello);
  void EndUnlisted(Draft& draft, const AgentSession& session, const v1::Heartbeat& heartbeat);
  void HandleHeartbeat(Draft& draft, AgentSession& session, const v1::Heartbeat& heartbeat);
  void HandlePrepareReply(Draft& draft, const AgentSession& session, const v1::PrepareReply& reply);
  // An error ends the connection with it.
  absl::Status HandleEvent(Draft& draft, const AgentSession& session, const v1::LeasedEvent& event);
  absl::Status HandleGenerateEvent(Generation& generation, const AgentSession& session,
                                   const v1::LeasedEvent& event);
  void ApplyEvent(Draft& draft, const StagePlace& place, const v1::LeasedEvent& event);
  // The stage that holds `lease` in the draft, if it is on this agent.
  std::optional<StagePlace> Locate(const Draft& draft, const AgentSession& session,
                                   absl::string_view lease) const;
  void AgentGone(Draft& draft, absl::string_view agent, absl::string_view why);

  absl::Time now_;
  scheduler::LeaseTable leases_;                // committed ones, of stages and of generations
  std::map<std::string, int64_t> sequences_;    // newest event dealt with, by lease
  std::map<std::string, std::string> waiting_;  // PendingView::key -> why it waits
  std::map<std::string, int32_t> positions_;    // job id -> place in the queue
  // PendingView::key of stages that fit on no connected agent -> why they are not failed yet. Made anew by
  // every PlanStages.
  std::map<std::string, std::string> held_;
  absl::Time held_until_ = absl::InfiniteFuture();
  // When agents that were connected before a restart have had the time to dial again.
  absl::Time agents_back_by_ = absl::InfinitePast();
  // Generations that the draft under way grants: they are not part of its transaction's rows.
  std::map<uint64_t, Generation> granted_;
  absl::Time next_ready_ = absl::InfiniteFuture();  // of the earliest back-off
  bool reschedule_ = false;                         // a transaction failed: schedule with the next one
  absl::Time retry_at_ = absl::InfiniteFuture();
};

}  // namespace vernier::server
