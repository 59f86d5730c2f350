#include <algorithm>
#include <map>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "server/core_impl.h"
#include "server/jobs/job_machine.h"
#include "server/jobs/state.h"
#include "server/jobs/tasks.h"
#include "server/jobs/transitions.h"
#include "server/limits.h"
#include "server/validate/validate.h"
#include "storage/layout.h"

namespace vernier::server {
namespace {

constexpr int kDefaultJobsPage = 50;
constexpr int kMaxPoints = 10'000;
constexpr size_t kMaxRequestIdBytes = 64;
constexpr int kJobIdBytes = 6;

bool HasLabels(const v1::JobSpec& spec, const google::protobuf::Map<std::string, std::string>& labels) {
  for (const auto& [key, value] : labels) {
    const auto it = spec.labels().find(key);
    if (it == spec.labels().end() || it->second != value) return false;
  }
  return true;
}

absl::Status CheckLimit(int limit, int most) {
  if (limit >= 1 && limit <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("limit = ", limit, " is outside [1, ", most, "]"));
}

// Whether `key`, an adapter or weights from outside a job, is still there: imported, or published by a job.
bool IsKept(const State& state, const std::string& tenant, const std::string& key) {
  bool kept = false;
  state.adapters.ForEach(tenant, [&](const AdapterRecord& adapter) { kept = kept || adapter.key() == key; });
  for (const auto& [order, id] : state.all_jobs()) {
    if (kept) break;
    if (!absl::StartsWith(key, absl::StrCat(storage::JobFolder(tenant, id), "/"))) continue;
    for (const StageRecord& stage : state.Find(id)->stages()) {
      kept = kept || absl::c_any_of(stage.artifacts(), [&](const auto& each) { return each.key() == key; });
    }
  }
  return kept;
}

const v1::AdapterRef& AdapterOf(const v1::Stage& stage) {
  if (stage.has_evaluate()) return stage.evaluate().adapter();
  return stage.has_export_() ? stage.export_().adapter() : stage.train().init_from();
}

// What a stage builds on was deleted.
absl::Status Deleted(const v1::Job& job, const v1::Stage& stage) {
  const v1::AdapterRef& ref = AdapterOf(stage);
  const std::string& name = !stage.export_().job().empty() ? stage.export_().job()
                            : ref.has_job()                ? ref.job()
                                                           : ref.adapter();
  return absl::FailedPreconditionError(
      absl::StrCat(job.name(), ": ", name, ", which stage \"", stage.id(), "\" builds on, was deleted; ",
                   ref.has_adapter() ? "import the same one again, then resume the job"
                                     : "submit the job anew with another one"));
}

}  // namespace

absl::StatusOr<v1::Job> Core::CreateJob(absl::string_view tenant, const v1::JobSpec& spec,
                                        absl::string_view request_id, absl::Time now) {
  if (request_id.size() > kMaxRequestIdBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("request_id: has ", request_id.size(), " bytes; use at most 64"));
  }
  Draft draft = impl_->Begin(now);
  const State& state = impl_->state;
  const Limits& limits = impl_->options.limits;
  if (const JobRecord* made = state.FindRequest(tenant, request_id)) return impl_->View(*made);
  VN_ASSIGN_OR_RETURN(Validated validated,
                      ValidateSpec(spec, StateCatalog(state, tenant), limits.max_spec_bytes, draft.now()));
  VN_RETURN_IF_ERROR(impl_->CheckRoom(tenant));
  if (state.CountJobs(tenant) >= limits.max_jobs) {
    return absl::ResourceExhaustedError(absl::StrCat(
        limits.max_jobs, " jobs are kept, which is the limit; delete some that have ended (vernier rm)"));
  }
  std::string id = impl_->options.random_id(kJobIdBytes);
  while (state.Find(id) != nullptr) id = impl_->options.random_id(kJobIdBytes);
  BeginJob(draft, id, std::string(tenant), request_id, std::move(validated));
  VN_RETURN_IF_ERROR(impl_->Finish(draft));
  return impl_->View(*state.Find(id));
}

absl::StatusOr<v1::JobSpec> Core::ValidateJob(absl::string_view tenant, const v1::JobSpec& spec,
                                              absl::Time now) const {
  VN_ASSIGN_OR_RETURN(Validated validated, ValidateSpec(spec, StateCatalog(impl_->state, tenant),
                                                        impl_->options.limits.max_spec_bytes, now));
  return std::move(validated.spec);
}

absl::StatusOr<v1::Job> Core::GetJob(absl::string_view tenant, absl::string_view name) const {
  VN_ASSIGN_OR_RETURN(const JobRecord* record, impl_->state.Resolve(tenant, name));
  return impl_->View(*record);
}

absl::StatusOr<v1::ListJobsResponse> Core::ListJobs(absl::string_view tenant,
                                                    const v1::ListJobsRequest& request) const {
  const int page = request.page_size() == 0 ? kDefaultJobsPage : request.page_size();
  if (page < 1 || page > kMaxPage) {
    return absl::InvalidArgumentError(absl::StrCat("page_size = ", page, " is outside [1, ", kMaxPage, "]"));
  }
  // A token is the order of the last job of the page before.
  uint64_t before = UINT64_MAX;
  if (!request.page_token().empty() && !absl::SimpleAtoi(request.page_token(), &before)) {
    return absl::InvalidArgumentError(
        absl::StrCat("page_token \"", Excerpt(request.page_token()), "\" is none that this server gave"));
  }
  v1::ListJobsResponse response;
  const std::map<uint64_t, std::string>& all = impl_->state.all_jobs();
  for (auto it = std::make_reverse_iterator(all.lower_bound(before)); it != all.rend(); ++it) {
    const JobRecord& record = *impl_->state.Find(it->second);
    if (record.tenant() != tenant || !HasLabels(record.job().spec(), request.labels())) continue;
    if (request.state() != v1::JOB_STATE_UNSPECIFIED && request.state() != record.job().state()) continue;
    if (response.jobs_size() == page) {
      const JobRecord& last = **impl_->state.Resolve(tenant, response.jobs(page - 1).name());
      response.set_next_page_token(absl::StrCat(last.order()));
      break;
    }
    *response.add_jobs() = impl_->View(record);
  }
  return response;
}

// Whether a job that failed finds what it builds on. Names may have been given to something else meanwhile:
// only the same content will do.
absl::Status Core::Impl::CheckReopen(const JobRecord& record) const {
  const std::string& tenant = record.tenant();
  const auto gone = [&](absl::string_view what, absl::string_view name, const std::string& digest,
                        absl::string_view how) {
    return absl::FailedPreconditionError(absl::StrCat(record.job().name(), ": ", what, " \"", name, "\" (",
                                                      digest.substr(0, 12), ") is not there any more; ", how,
                                                      " the same one again, then resume the job"));
  };
  for (int i = 0; i < record.stages_size(); ++i) {
    if (record.job().stages(i).state() == v1::STAGE_STATE_SUCCEEDED) continue;
    const StageRecord& stage = record.stages(i);
    if (!stage.model_digest().empty() && state.models.FindDigest(tenant, stage.model_digest()) == nullptr)
      return gone("model", stage.model_name(), stage.model_digest(), "import");
    for (const auto& [name, digest] : DatasetsOf(record, i)) {
      if (state.datasets.FindDigest(tenant, digest) == nullptr)
        return gone("dataset", name, digest, "upload");
    }
    for (const std::string* key : {&stage.adapter_key(), &stage.model_key()}) {
      if (key->empty() || IsKept(state, tenant, *key)) continue;
      return Deleted(record.job(), record.job().spec().stages(i));
    }
  }
  return CheckRoom(tenant);
}

absl::Status Core::Impl::CheckRoom(absl::string_view tenant) const {
  if (state.CountLiveJobs(tenant) < options.limits.max_waiting_jobs) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("the queue is full: ", options.limits.max_waiting_jobs,
                                                   " jobs have not ended; try again later"));
}

absl::StatusOr<v1::Job> Core::Impl::Ask(absl::string_view tenant, absl::string_view name,
                                        JobRecord::Intent intent, absl::Time now) {
  Draft draft = Begin(now);
  VN_ASSIGN_OR_RETURN(const JobRecord* found, state.Resolve(tenant, name));
  const std::string id = found->id();
  const bool reopens = intent == JobRecord::INTENT_RUN && found->job().state() == v1::JOB_STATE_FAILED;
  if (reopens) VN_RETURN_IF_ERROR(CheckReopen(*found));
  VN_RETURN_IF_ERROR(AskFor(draft, draft.Edit(id), intent));
  VN_RETURN_IF_ERROR(Finish(draft));
  return View(*state.Find(id));
}

absl::StatusOr<v1::Job> Core::CancelJob(absl::string_view tenant, absl::string_view name, absl::Time now) {
  return impl_->Ask(tenant, name, JobRecord::INTENT_CANCEL, now);
}
absl::StatusOr<v1::Job> Core::PauseJob(absl::string_view tenant, absl::string_view name, absl::Time now) {
  return impl_->Ask(tenant, name, JobRecord::INTENT_PAUSE, now);
}
absl::StatusOr<v1::Job> Core::ResumeJob(absl::string_view tenant, absl::string_view name, absl::Time now) {
  return impl_->Ask(tenant, name, JobRecord::INTENT_RUN, now);
}

absl::Status Core::DeleteJob(absl::string_view tenant, absl::string_view name, absl::Time now) {
  Draft draft = impl_->Begin(now);
  VN_ASSIGN_OR_RETURN(const JobRecord* record, impl_->state.Resolve(tenant, name));
  if (!HasEnded(record->job().state())) {
    return absl::FailedPreconditionError(absl::StrCat(record->job().name(), ": it is ",
                                                      NameOf(record->job().state()),
                                                      "; cancel it and wait until it has ended"));
  }
  const std::string folder = absl::StrCat(storage::JobFolder(tenant, record->id()), "/");
  for (const auto& [order, id] : impl_->state.live_jobs()) {
    const JobRecord& other = *impl_->state.Find(id);
    for (const StageRecord& stage : other.stages()) {
      const bool uses =
          absl::StartsWith(stage.adapter_key(), folder) || absl::StartsWith(stage.model_key(), folder);
      if (!uses) continue;
      return absl::FailedPreconditionError(absl::StrCat(record->job().name(),
                                                        ": what it published is used by ", other.job().name(),
                                                        ", which has not ended"));
    }
  }
  draft.Delete(record->id());
  draft.Then(DeleteObjects{.prefix = folder});
  return impl_->Finish(draft);
}

absl::StatusOr<std::vector<v1::JobEvent>> Core::ListEvents(absl::string_view tenant, absl::string_view name,
                                                           int64_t after, int limit) const {
  VN_RETURN_IF_ERROR(CheckLimit(limit, kMaxPage));
  VN_ASSIGN_OR_RETURN(const JobRecord* record, impl_->state.Resolve(tenant, name));
  return impl_->store.ListEvents(record->id(), after, limit);
}

absl::StatusOr<std::vector<StoredPoint>> Core::ListPoints(absl::string_view tenant, absl::string_view name,
                                                          absl::string_view stage, int64_t after_cursor,
                                                          int limit) const {
  VN_RETURN_IF_ERROR(CheckLimit(limit, kMaxPoints));
  VN_ASSIGN_OR_RETURN(const JobRecord* record, impl_->state.Resolve(tenant, name));
  return impl_->store.ListPoints(record->id(), stage, after_cursor, limit);
}

}  // namespace vernier::server
