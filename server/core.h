// The control plane as one state machine: (state, event, now) -> (state, effects).
//
//   faces (gRPC, CLI)  --calls-->  Core  --effects-->  the edge: streams, object store, metrics
//   agents             --messages->
//   the clock          --Tick-->
//
// Laws
//   - Every durable change is one transaction of the JobStore, its JobEvents in the same one. Memory changes
//   only when
//     that transaction commits; replies and effects exist only after it. A call that returns an error changed
//     nothing.
//   - Time is an argument and never runs backwards; randomness is Options::random_id. Equal inputs give equal
//   outputs.
//   - After a restart (a new Core over the same store) no lease is given away before ttl + margin have
//   passed, and
//     agents that still hold one keep it.
//
// How an edge uses it, on one strand:
//     const auto reply = core->CreateJob(...);      // or AgentMessages(...), Tick(...)
//     for (Effect& effect : core->TakeEffects()) Execute(effect);
//     timer.ExpireAt(core->NextWakeup());           // then Tick(now)
//
// Threading  Thread-compatible: one strand calls it. No call blocks but on the JobStore.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "scheduler/cluster_view.h"
#include "scheduler/lease_table.h"
#include "server/effects.h"
#include "server/jobs/job_store.h"
#include "server/limits.h"
#include "vernier/v1/admin_service.pb.h"
#include "vernier/v1/agent_service.pb.h"
#include "vernier/v1/artifact_service.pb.h"
#include "vernier/v1/data.pb.h"
#include "vernier/v1/dataset_service.pb.h"
#include "vernier/v1/job.pb.h"
#include "vernier/v1/job_service.pb.h"
#include "vernier/v1/model.pb.h"
#include "vernier/v1/model_service.pb.h"

namespace vernier::server {

class Core {
 public:
  struct Options {
    scheduler::LeaseTable::Options lease;
    absl::Duration heartbeat = absl::Seconds(5);
    absl::Duration prepare_timeout = absl::Seconds(30);  // for a PrepareReply
    absl::Duration stop_timeout = absl::Minutes(10);     // from StopLease to CancelLease
    absl::Duration generate_wait = absl::Seconds(60);    // for an agent with a free side slot
    absl::Duration converse_idle = absl::Minutes(10);    // a conversation without a question
    scheduler::ScheduleOptions schedule;
    Limits limits;
    std::string store_uri;  // Task.store: where agents and trainers find the objects
    // `num_bytes` as lower-case hex, for ids and incarnations.
    std::function<std::string(int num_bytes)> random_id;  // unset: common/digest.h's RandomHex
  };

  // Loads everything. `store` must outlive the Core. FailedPrecondition: the store is of another version.
  static absl::StatusOr<std::unique_ptr<Core>> Create(Options options, JobStore& store, absl::Time now);
  ~Core();

  // What was to be done since the last call.
  std::vector<Effect> TakeEffects();
  // When Tick must be called at the latest; InfiniteFuture when nothing waits for time.
  absl::Time NextWakeup() const;
  // Lapsed leases, deadlines, back-off, and another try at a transaction that failed before.
  void Tick(absl::Time now);
  // OK, or why the last transaction failed (disk full ...): for the health service.
  absl::Status store_status() const;
  // Raised by one at every start over the same store.
  uint64_t epoch() const;

  // --- Jobs. `tenant` owns everything it names; another tenant's things are NotFound.
  // `name`: "jobs/ID", "ID", the spec's name (the newest with it), or a unique prefix of an id, at least 4
  // characters. NotFound: no such job. InvalidArgument: a prefix of several.

  // The same request_id ("" = none) returns the job made the first time. InvalidArgument: every field error,
  // one a line. ResourceExhausted: too many jobs wait.
  absl::StatusOr<v1::Job> CreateJob(absl::string_view tenant, const v1::JobSpec& spec,
                                    absl::string_view request_id, absl::Time now);
  // The effective spec. Same errors.
  absl::StatusOr<v1::JobSpec> ValidateJob(absl::string_view tenant, const v1::JobSpec& spec,
                                          absl::Time now) const;
  // What its stages would need, on the agents that are connected now. Same errors.
  absl::StatusOr<v1::PlanJobResponse> PlanJob(absl::string_view tenant, const v1::PlanJobRequest& request,
                                              absl::Time now) const;
  absl::StatusOr<v1::Job> GetJob(absl::string_view tenant, absl::string_view name) const;
  // Newest first; page_size 0 = 50. InvalidArgument: page_size or page_token.
  absl::StatusOr<v1::ListJobsResponse> ListJobs(absl::string_view tenant,
                                                const v1::ListJobsRequest& request) const;
  // Checkpoint first, then end. OK when it is cancelled or being cancelled. FailedPrecondition: it ended
  // otherwise.
  absl::StatusOr<v1::Job> CancelJob(absl::string_view tenant, absl::string_view name, absl::Time now);
  absl::StatusOr<v1::Job> PauseJob(absl::string_view tenant, absl::string_view name, absl::Time now);
  absl::StatusOr<v1::Job> ResumeJob(absl::string_view tenant, absl::string_view name, absl::Time now);
  // FailedPrecondition: it has not ended, or a job that has not ended uses its adapter.
  absl::Status DeleteJob(absl::string_view tenant, absl::string_view name, absl::Time now);

  // Stored events with a sequence above `after`, oldest first, at most `limit` (in [1, 1000]). The newest
  // max_events_per_job are kept: the first may be later than after + 1.
  absl::StatusOr<std::vector<v1::JobEvent>> ListEvents(absl::string_view tenant, absl::string_view name,
                                                       int64_t after, int limit) const;
  // Points in the order they came, or came anew (a resumed attempt replaces the point of a step); `stage` ""
  // = all. Pass the last cursor to read on; 0 first. At most `limit` in [1, 10'000].
  absl::StatusOr<std::vector<StoredPoint>> ListPoints(absl::string_view tenant, absl::string_view name,
                                                      absl::string_view stage, int64_t after_cursor,
                                                      int limit) const;

  // --- Things with names. Register* after the bytes are in the object store (then Head them: a delete may
  // have raced).

  struct Registered {
    v1::Dataset dataset;
    bool existed = false;  // the content was known already
  };
  // `dataset` with everything but create_time. An empty name takes the name of equal content, else the
  // digest's first 12. AlreadyExists: the name belongs to other content. InvalidArgument: name or digest.
  absl::StatusOr<Registered> RegisterDataset(absl::string_view tenant, const v1::Dataset& dataset,
                                             absl::Time now);
  // By name or digest (also a unique prefix of at least 8 characters). NotFound names the nearest.
  absl::StatusOr<v1::Dataset> GetDataset(absl::string_view tenant, absl::string_view name) const;
  // Whether a job that reads the dataset with this digest failed because bytes were damaged.
  bool MayBeDamaged(absl::string_view tenant, absl::string_view digest) const;
  // In order of name. `page_token`: "" or the last next_page_token.
  absl::StatusOr<v1::ListDatasetsResponse> ListDatasets(absl::string_view tenant,
                                                        const v1::ListDatasetsRequest& request) const;
  // FailedPrecondition: a job that has not ended uses it (named).
  absl::Status DeleteDataset(absl::string_view tenant, absl::string_view name);

  // Same rules as for datasets.
  absl::StatusOr<v1::Model> RegisterModel(absl::string_view tenant, const v1::Model& model, absl::Time now);
  absl::StatusOr<v1::Model> GetModel(absl::string_view tenant, absl::string_view name) const;
  absl::StatusOr<v1::ListModelsResponse> ListModels(absl::string_view tenant,
                                                    const v1::ListModelsRequest& request) const;
  absl::Status DeleteModel(absl::string_view tenant, absl::string_view name);

  // An imported PEFT folder that lies below `key`; its name is "adapters/DIGEST". Idempotent.
  absl::StatusOr<AdapterRecord> RegisterAdapter(absl::string_view tenant, const AdapterRecord& adapter,
                                                absl::Time now);
  absl::StatusOr<std::vector<AdapterRecord>> ListAdapters(absl::string_view tenant) const;
  absl::Status DeleteAdapter(absl::string_view tenant, absl::string_view name);

  // Of one job, or of every job ("") newest first, at most 10,000.
  absl::StatusOr<std::vector<v1::Artifact>> ListArtifacts(absl::string_view tenant,
                                                          absl::string_view job) const;
  // `stage` and `name` may be "" where only one fits. NotFound says what there is.
  absl::StatusOr<v1::Artifact> GetArtifact(absl::string_view tenant, absl::string_view job,
                                           absl::string_view stage, absl::string_view name) const;

  // Prefixes (ending with '/') of everything that a dataset, model, adapter or job refers to, sorted; for gc:
  // other objects may go once they are older than any running task.
  std::vector<std::string> LivePrefixes() const;
  // Whether something below `prefix`, or above it, is live.
  bool IsLive(absl::string_view prefix) const;

  // --- Text on the spot: side work on an agent, not a job; dies with the caller.

  // Output comes as GenerateOutput effects and then one GenerateEnded. InvalidArgument, NotFound: the
  // request. ResourceExhausted: too many at a time.
  absl::StatusOr<uint64_t> StartGenerate(absl::string_view tenant, const v1::GenerateRequest& request,
                                         absl::Time now);
  // The same, but it stays for ContinueGenerate once its prompts are answered, for at most
  // Options::converse_idle, and while no other side work waits for its place: then it ends with Unavailable.
  absl::StatusOr<uint64_t> StartConversation(absl::string_view tenant, const v1::GenerateRequest& request,
                                             absl::Time now);
  // Further prompts. InvalidArgument: the request, or it names a model or adapter. FailedPrecondition: an
  // answer is under way. NotFound: the conversation has ended.
  absl::Status ContinueGenerate(uint64_t generation, const v1::GenerateRequest& request, absl::Time now);
  // Answers that are under way end soon. OK when there is none.
  void InterruptGenerate(uint64_t generation, absl::Time now);
  // The caller went away. No further effects for it. OK when it ended.
  void CancelGenerate(uint64_t generation, absl::Time now);

  // --- Agents.

  void AgentConnected(ConnectionId connection, const v1::AgentHello& hello, absl::Time now);
  // One transaction for all of them: pass what has queued up since the last call.
  void AgentMessages(absl::Span<const std::pair<ConnectionId, v1::AgentMessage>> messages, absl::Time now);
  void AgentMessage(ConnectionId connection, const v1::AgentMessage& message, absl::Time now);
  void AgentDisconnected(ConnectionId connection, absl::Time now);
  // Connected ones and those seen since the start, in order of id.
  std::vector<v1::Agent> ListAgents() const;

  struct Stats {
    std::map<v1::JobState, int64_t> jobs;  // all tenants
    int64_t agents_connected = 0;
    int64_t leases = 0;          // live ones
    int64_t waiting_stages = 0;  // for a device or a side slot
    int64_t generations = 0;
    int64_t datasets = 0, models = 0, adapters = 0;
  };
  Stats stats() const;

 private:
  class Impl;
  explicit Core(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace vernier::server
