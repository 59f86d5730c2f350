#include "server/core.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/digest.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "scheduler/registry.h"
#include "scheduler/schedule.h"
#include "server/core_impl.h"
#include "server/jobs/job_machine.h"
#include "server/jobs/tasks.h"
#include "server/jobs/transitions.h"

namespace vernier::server {
namespace {

constexpr absl::Duration kStoreRetry = absl::Seconds(1);
constexpr int kIncarnationBytes = 6;

std::string StageName(const JobRecord& record, int stage) {
  return absl::StrCat(record.job().name(), " ", record.stages(stage).id());
}

}  // namespace

// --- Life.

absl::StatusOr<std::unique_ptr<Core>> Core::Create(Options options, JobStore& store, absl::Time now) {
  VN_RETURN_IF_ERROR(scheduler::FindQueuePolicy(options.schedule.queue).status());
  VN_RETURN_IF_ERROR(scheduler::FindPlacementPolicy(options.schedule.placement).status());
  if (!options.random_id) options.random_id = RandomHex;
  VN_ASSIGN_OR_RETURN(StoreSnapshot snapshot, store.Load());
  auto impl = std::make_unique<Impl>(std::move(options), store, std::move(snapshot), now);
  Draft draft(impl->state, impl->options.limits, now);
  draft.batch().counters = impl->state.counters;
  ++draft.batch().counters->epoch;
  const auto leases = impl->state.leases();  // a copy: the draft changes nothing yet, Finish does
  for (const auto& [lease, place] : leases) {
    const LeaseRecord& held = impl->state.Find(place.job)->stages(place.stage).lease();
    if (held.committed()) {
      // Its agent may run it and reconnect; nobody else gets it for a ttl and a margin.
      impl->leases_.Grant(lease, now);
    } else {
      WithdrawLease(draft, draft.Edit(place.job), place.stage, "vernierd restarted before it had started",
                    absl::ZeroDuration());
    }
  }
  draft.Reschedule();
  VN_RETURN_IF_ERROR(impl->Finish(draft));
  impl->effects.clear();  // nobody is connected and nobody watches
  VN_LOG(INFO) << "job store loaded epoch=" << impl->state.counters.epoch
               << " jobs=" << impl->state.all_jobs().size()
               << " unfinished=" << impl->state.live_jobs().size() << " leases=" << leases.size();
  return std::unique_ptr<Core>(new Core(std::move(impl)));
}

Core::Core(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Core::~Core() = default;

Core::Impl::Impl(Options options, JobStore& store, StoreSnapshot snapshot, absl::Time now)
    : options(std::move(options)),
      store(store),
      state(std::move(snapshot)),
      agents(this->options.limits.max_agents),
      generations(this->options.limits.max_generations),
      now_(now),
      leases_(this->options.lease) {
  if (!state.all_jobs().empty()) agents_back_by_ = now + this->options.lease.ttl + this->options.lease.margin;
}

std::vector<Effect> Core::TakeEffects() { return std::exchange(impl_->effects, {}); }
absl::Time Core::NextWakeup() const { return impl_->NextWakeup(); }
void Core::Tick(absl::Time now) { impl_->Tick(now); }
absl::Status Core::store_status() const { return impl_->store_status; }
uint64_t Core::epoch() const { return impl_->state.counters.epoch; }

Core::Stats Core::stats() const {
  Stats stats{.agents_connected = impl_->agents.num_connected(),
              .leases = static_cast<int64_t>(impl_->state.leases().size()),
              .waiting_stages = static_cast<int64_t>(impl_->waiting_.size()),
              .generations = static_cast<int64_t>(impl_->generations.all().size()),
              .datasets = impl_->state.datasets.size(),
              .models = impl_->state.models.size(),
              .adapters = impl_->state.adapters.size()};
  for (const auto& [order, id] : impl_->state.all_jobs()) ++stats.jobs[impl_->state.Find(id)->job().state()];
  return stats;
}

// --- Time.

Draft Core::Impl::Begin(absl::Time now) {
  now_ = std::max(now_, now);
  if (NextWakeup() <= now_) Tick(now_);
  return Draft(state, options.limits, now_);
}

absl::Time Core::Impl::NextWakeup() const {
  // While the store fails, everything that is due waits for the next try.
  if (retry_at_ != absl::InfiniteFuture()) return retry_at_;
  absl::Time next = std::min(leases_.NextLapse(), next_ready_);
  for (const auto& [lease, place] : state.leases()) {
    const LeaseRecord& held = state.Find(place.job)->stages(place.stage).lease();
    if (!held.committed()) {
      next = std::min(next, FromTimestamp(held.grant_time()) + options.prepare_timeout);
    } else if (held.stopping() && !held.cancelling()) {
      next = std::min(next, FromTimestamp(held.stop_time()) + options.stop_timeout);
    }
  }
  for (const auto& [id, generation] : generations.all()) {
    if (generation.idle()) next = std::min(next, generation.idle_since + options.converse_idle);
    if (generation.committed) continue;
    next = std::min(next, generation.lease.empty() ? generation.start_time + options.generate_wait
                                                   : generation.grant_time + options.prepare_timeout);
  }
  return next;
}

void Core::Impl::Tick(absl::Time now) {
  now_ = std::max(now_, now);
  Draft draft(state, options.limits, now_);
  HandleTime(draft);
  // While the store fails, every try writes something, so that it is known when it works again.
  if (!store_status.ok()) draft.batch().counters = state.counters;
  // Finish keeps the error for store_status and sets the time of the next try.
  Finish(draft).IgnoreError();
}

void Core::Impl::HandleTime(Draft& draft) {
  for (const std::string& lease : leases_.Lapsed(now_)) {
    if (Generation* generation = generations.FindLease(lease)) {
      EndGeneration(*generation,
                    absl::UnavailableError(absl::StrCat("agent ", generation->agent,
                                                        " was lost while it generated; try again")));
      leases_.Release(lease);
      draft.Reschedule();
      continue;
    }
    const StagePlace* place = state.FindLease(lease);
    if (place == nullptr) {
      leases_.Release(lease);
      continue;
    }
    JobRecord& record = draft.Edit(place->job);
    EndLease(
        draft, record, place->stage,
        {.code = absl::StatusCode::kAborted,
         .message = absl::StrCat("agent ", record.stages(place->stage).lease().agent(), " was not heard for ",
                                 absl::FormatDuration(options.lease.ttl + options.lease.margin)),
         .cause = scheduler::Cause::kLost});
  }
  for (const auto& [lease, place] : state.leases()) {
    const JobRecord& record = *draft.Find(place.job);
    if (record.stages(place.stage).lease().lease() != lease) continue;  // it has just lapsed
    const LeaseRecord& held = record.stages(place.stage).lease();
    if (!held.committed() && FromTimestamp(held.grant_time()) + options.prepare_timeout <= now_) {
      WithdrawLease(draft, draft.Edit(place.job), place.stage,
                    absl::StrCat("agent ", held.agent(), " did not answer within ",
                                 absl::FormatDuration(options.prepare_timeout)),
                    absl::Seconds(1));
    } else if (held.stopping() && !held.cancelling() &&
               FromTimestamp(held.stop_time()) + options.stop_timeout <= now_) {
      GiveUpStopping(draft, draft.Edit(place.job), place.stage);
    }
  }
  std::vector<uint64_t> late, idle;
  for (const auto& [id, generation] : generations.all()) {
    if (generation.idle() && generation.idle_since + options.converse_idle <= now_) idle.push_back(id);
    const absl::Time deadline = generation.lease.empty() ? generation.start_time + options.generate_wait
                                                         : generation.grant_time + options.prepare_timeout;
    if (!generation.committed && deadline <= now_) late.push_back(id);
  }
  for (const uint64_t id : late) {
    Generation& generation = *generations.Find(id);
    const std::string why = generation.lease.empty() ? generation.reason : "its agent did not answer";
    EndGeneration(generation, absl::UnavailableError(absl::StrCat(
                                  "generate waited ", absl::FormatDuration(now_ - generation.start_time),
                                  " for an agent: ", why)));
  }
  for (const uint64_t id : idle) {
    EndGeneration(*generations.Find(id),
                  absl::UnavailableError(absl::StrCat("the conversation rested for ",
                                                      absl::FormatDuration(options.converse_idle),
                                                      "; its model was unloaded")));
    draft.Reschedule();
  }
  if (next_ready_ <= now_ || reschedule_) draft.Reschedule();
}

// --- Committing.

absl::Status Core::Impl::Finish(Draft& draft) {
  granted_.clear();
  const bool schedule = draft.reschedule() || reschedule_;
  // A stage that turns out unable to start may free what another one gets.
  while (schedule && !Place(draft)) {
  }
  absl::StatusOr<Draft::Committed> committed = draft.Commit(store);
  if (!committed.ok()) {
    if (store_status.ok()) {
      VN_LOG(ERROR) << "job store transaction failed; nothing changed, trying again why="
                    << committed.status();
    }
    store_status = committed.status();
    reschedule_ = reschedule_ || schedule;
    retry_at_ = now_ + kStoreRetry;
    return store_status;
  }
  if (committed->wrote) {
    if (!store_status.ok()) VN_LOG(INFO) << "job store works again";
    store_status = absl::OkStatus();
    retry_at_ = absl::InfiniteFuture();
  }
  if (schedule) reschedule_ = false;
  for (const std::string& lease : committed->started) leases_.Grant(lease, now_);
  for (auto& [id, granted] : granted_) *generations.Find(id) = std::move(granted);
  for (const auto& [lease, event] : committed->handled) {
    sequences_[lease] = event.sequence;
    if (const ConnectionId connection = agents.ConnectionOf(event.agent)) {
      Send(connection, AckMessage(lease, event.sequence));
    }
  }
  for (const std::string& lease : committed->released) {
    leases_.Release(lease);
    sequences_.erase(lease);
  }
  std::move(committed->effects.begin(), committed->effects.end(), std::back_inserter(effects));
  for (auto& [agent, message] : committed->messages) {
    if (const ConnectionId connection = agents.ConnectionOf(agent)) Send(connection, std::move(message));
  }
  return absl::OkStatus();
}

// --- Placing.

Core::Impl::Cluster Core::Impl::ClusterOf(const Draft& draft) const {
  Cluster cluster{.view = {.nodes = agents.Nodes()}};
  for (const std::string& id : draft.LiveJobs()) {
    const JobRecord& record = *draft.Find(id);
    for (int i = 0; i < record.stages_size(); ++i) {
      if (record.stages(i).has_lease()) {
        const LeaseRecord& lease = record.stages(i).lease();
        cluster.view.leases.push_back(
            {lease.agent(), lease.device(),
             lease.prepare_task() ? scheduler::WorkKind::kSide : scheduler::WorkKind::kDevice,
             StageName(record, i)});
      } else if (WaitsForPlace(record, i)) {
        scheduler::PendingView pending = PendingOf(record, i);
        if (held_.contains(pending.key)) continue;
        cluster.view.pending.push_back(std::move(pending));
        cluster.owners.push_back({.place = {id, i}});
      }
    }
  }
  for (const auto& [id, generation] : generations.all()) {
    const auto granted = granted_.find(id);
    const Generation& current = granted == granted_.end() ? generation : granted->second;
    if (current.lease.empty()) {
      cluster.view.pending.push_back(Generations::PendingOf(current));
      cluster.owners.push_back({.place = {"", -1}, .generation = id});
    } else {
      cluster.view.leases.push_back(
          {current.agent, current.device, scheduler::WorkKind::kSide, Generations::KeyOf(id)});
    }
  }
  return cluster;
}

bool Core::Impl::Place(Draft& draft) {
  PlanStages(draft);
  const Cluster cluster = ClusterOf(draft);
  const std::vector<scheduler::Decision> decisions =
      scheduler::Schedule(now_, cluster.view, options.schedule);
  bool all_granted = true;
  bool wanted = false;  // side work waits for a place
  std::map<std::string, std::string> waiting = held_;
  next_ready_ = held_until_;
  for (size_t i = 0; i < decisions.size(); ++i) {
    const scheduler::Decision& decision = decisions[i];
    const Cluster::Owner& owner = cluster.owners[i];
    const bool is_stage = owner.place.stage >= 0;
    if (decision.placement) {
      if (is_stage) {
        all_granted = Grant(draft, owner.place, *decision.placement) && all_granted;
      } else {
        GrantGeneration(draft, owner.generation, *decision.placement);
      }
      continue;
    }
    if (const absl::Time ready = cluster.view.pending[i].ready_at; ready > now_) {
      next_ready_ = std::min(next_ready_, ready);
    }
    if (!is_stage) generations.Find(owner.generation)->reason = decision.reason;
    waiting[decision.key] = decision.reason;
    wanted = wanted || (cluster.view.pending[i].kind == scheduler::WorkKind::kSide &&
                        cluster.view.pending[i].ready_at <= now_);
  }
  // Nobody loses an answer by it: a conversation that rests makes way for work that waits.
  if (wanted && EndRestingConversation()) return false;
  NoteWaiting(draft, std::move(waiting));
  return all_granted;
}

bool Core::Impl::EndRestingConversation() {
  Generation* longest = nullptr;
  for (auto& [id, generation] : generations.all()) {
    if (generation.idle() && (longest == nullptr || generation.idle_since < longest->idle_since)) {
      longest = &generation;
    }
  }
  if (longest == nullptr) return false;
  EndGeneration(*longest,
                absl::UnavailableError("other work needed the place of the conversation, which rested; "
                                       "its model was unloaded"));
  return true;
}

void Core::Impl::NoteWaiting(const Draft& draft, std::map<std::string, std::string> waiting) {
  for (const auto& [key, reason] : waiting) {
    const auto before = waiting_.find(key);
    if (before == waiting_.end() || before->second != reason) {
      VN_LOG(INFO) << "work waits key=" << key << " reason=" << reason;
    }
  }
  waiting_ = std::move(waiting);
  positions_.clear();
  int32_t position = 0;
  for (const std::string& id : draft.LiveJobs()) {
    if (draft.Find(id)->job().state() == v1::JOB_STATE_QUEUED) positions_[id] = ++position;
  }
}

std::string Core::Impl::NewLeaseId(uint64_t token) const { return absl::StrCat("lease-", token); }

bool Core::Impl::Grant(Draft& draft, const StagePlace& place, const scheduler::Placement& placement) {
  // A stage of its job that could not start may have failed it in this very pass.
  if (!WaitsForPlace(*draft.Find(place.job), place.stage)) return false;
  JobRecord& record = draft.Edit(place.job);
  const AgentSession& session = *agents.Find(placement.agent);
  LeaseRecord lease;
  lease.set_token(draft.NextToken());
  lease.set_lease(NewLeaseId(lease.token()));
  lease.set_agent(placement.agent);
  lease.set_agent_incarnation(session.hello.incarnation());
  lease.set_agent_host(session.hello.host());
  lease.set_device(placement.device);
  lease.set_isa(session.hello.isa());
  for (const v1::Device& device : session.hello.devices()) {
    if (device.id() == placement.device) lease.set_device_kind(device.kind());
  }
  lease.set_incarnation(options.random_id(kIncarnationBytes));
  lease.set_threads(placement.threads);
  *lease.mutable_grant_time() = ToTimestamp(now_);
  lease.set_prepare_task(record.job().stages(place.stage).state() == v1::STAGE_STATE_PREPARING);
  if (const v1::CheckpointInfo* resume = ResumePoint(record, place.stage); resume && !lease.prepare_task()) {
    lease.set_resume_key(resume->key());
    lease.set_resume_manifest_sha256(resume->manifest_sha256());
  }
  absl::StatusOr<v1::Task> task = TaskOf(record, place.stage, lease, options.store_uri);
  if (!task.ok()) {
    FailStage(draft, record, place.stage, task.status());
    return false;
  }
  draft.Then(
      GangPlaced{options.schedule.placement, now_ - FromTimestamp(record.stages(place.stage).ready_time())});
  GrantLease(draft, record, place.stage, lease);
  v1::ServerMessage message;
  message.mutable_prepare()->set_lease(lease.lease());
  *message.mutable_prepare()->mutable_task() = *std::move(task);
  message.mutable_prepare()->set_device(lease.device());
  draft.Tell(lease.agent(), std::move(message));
  return true;
}

void Core::Impl::GrantGeneration(Draft& draft, uint64_t id, const scheduler::Placement& placement) {
  Generation granted = *generations.Find(id);
  granted.token = draft.NextToken();
  granted.lease = NewLeaseId(granted.token);
  granted.agent = placement.agent;
  granted.device = placement.device;
  granted.threads = placement.threads;
  granted.grant_time = now_;
  v1::ServerMessage message;
  message.mutable_prepare()->set_lease(granted.lease);
  *message.mutable_prepare()->mutable_task() =
      Generations::TaskOf(granted, options.random_id(kIncarnationBytes), options.store_uri);
  message.mutable_prepare()->set_device(granted.device);
  draft.Tell(granted.agent, std::move(message));
  granted_[id] = std::move(granted);
}

v1::Job Core::Impl::View(const JobRecord& record) const {
  v1::Job job = record.job();
  std::string first_reason;
  for (int i = 0; i < record.stages_size(); ++i) {
    const auto it = waiting_.find(absl::StrCat(record.id(), "/", record.stages(i).id()));
    if (it == waiting_.end() || !WaitsForPlace(record, i)) continue;
    v1::StageStatus& status = *job.mutable_stages(i);
    // While it backs off, what made it do so is the better half of the answer.
    const bool backs_off = record.stages(i).has_not_before() && !status.reason().empty();
    status.set_reason(backs_off ? absl::StrCat(status.reason(), "; ", it->second) : it->second);
    if (first_reason.empty()) first_reason = status.reason();
  }
  const bool waits = job.state() == v1::JOB_STATE_QUEUED || job.state() == v1::JOB_STATE_VALIDATING;
  if (waits && !first_reason.empty()) job.set_state_reason(first_reason);
  if (const auto it = positions_.find(record.id());
      it != positions_.end() && job.state() == v1::JOB_STATE_QUEUED) {
    job.set_queue_position(it->second);
  }
  if (!store_status.ok() && !HasEnded(job.state())) {
    job.set_state_reason(
        absl::StrCat("nothing new can be recorded, so this may be out of date: ", store_status.message()));
  }
  return job;
}

}  // namespace vernier::server
