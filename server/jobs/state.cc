#include "server/jobs/state.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "server/jobs/transitions.h"

namespace vernier::server {
namespace {

constexpr size_t kMinPrefix = 4;

}  // namespace

State::State(StoreSnapshot snapshot) : counters(snapshot.counters) {
  for (JobRecord& record : snapshot.jobs) Put(std::move(record));
  for (const auto& [tenant, dataset] : snapshot.datasets) datasets.Put(tenant, dataset);
  for (const auto& [tenant, model] : snapshot.models) models.Put(tenant, model);
  for (const auto& [tenant, adapter] : snapshot.adapters) adapters.Put(tenant, adapter);
}

const JobRecord* State::Find(absl::string_view id) const {
  const auto it = jobs_.find(std::string(id));
  return it == jobs_.end() ? nullptr : &it->second;
}

absl::StatusOr<const JobRecord*> State::Resolve(absl::string_view tenant, absl::string_view name) const {
  const std::string id(absl::StripPrefix(name, "jobs/"));
  const auto not_found = [&] {
    return absl::NotFoundError(
        absl::StrCat("job \"", Excerpt(name), "\" is not known; `vernier jobs` lists them"));
  };
  if (id.empty()) return not_found();
  if (const JobRecord* record = Find(id); record != nullptr && record->tenant() == tenant) return record;
  for (auto it = by_order_.rbegin(); it != by_order_.rend(); ++it) {
    const JobRecord& record = jobs_.at(it->second);
    if (record.tenant() == tenant && record.job().spec().name() == id) return &record;
  }
  const JobRecord* found = nullptr;
  if (id.size() >= kMinPrefix) {
    for (auto it = jobs_.lower_bound(id); it != jobs_.end() && absl::StartsWith(it->first, id); ++it) {
      if (it->second.tenant() != tenant) continue;
      if (found != nullptr) {
        return absl::InvalidArgumentError(absl::StrCat("job \"", id, "\" is the start of several ids, ",
                                                       found->id(), " and ", it->first,
                                                       " among them; write more of it"));
      }
      found = &it->second;
    }
  }
  if (found == nullptr) return not_found();
  return found;
}

const JobRecord* State::FindRequest(absl::string_view tenant, absl::string_view request_id) const {
  if (request_id.empty()) return nullptr;
  const auto it = by_request_.find({std::string(tenant), std::string(request_id)});
  return it == by_request_.end() ? nullptr : Find(it->second);
}

const StagePlace* State::FindLease(absl::string_view lease) const {
  const auto it = leases_.find(lease);
  return it == leases_.end() ? nullptr : &it->second;
}

int64_t State::CountJobs(absl::string_view tenant) const {
  const auto it = counts_.find(std::string(tenant));
  return it == counts_.end() ? 0 : it->second.first;
}

int64_t State::CountLiveJobs(absl::string_view tenant) const {
  const auto it = counts_.find(std::string(tenant));
  return it == counts_.end() ? 0 : it->second.second;
}

void State::Put(JobRecord record) {
  const auto it = jobs_.find(record.id());
  if (it != jobs_.end()) Unlink(it->second);
  by_order_[record.order()] = record.id();
  const bool live = !HasEnded(record.job().state());
  if (live) live_[record.order()] = record.id();
  auto& [all, alive] = counts_[record.tenant()];
  ++all;
  alive += live;
  if (!record.request_id().empty()) by_request_[{record.tenant(), record.request_id()}] = record.id();
  for (int i = 0; i < record.stages_size(); ++i) {
    if (record.stages(i).has_lease()) leases_[record.stages(i).lease().lease()] = {record.id(), i};
  }
  const std::string id = record.id();
  jobs_.insert_or_assign(id, std::move(record));
}

void State::Erase(const std::string& id) {
  const auto it = jobs_.find(id);
  VN_CHECK(it != jobs_.end());
  Unlink(it->second);
  jobs_.erase(it);
}

void State::SetProgress(const StagePlace& place, const v1::Progress& progress) {
  const auto it = jobs_.find(place.job);
  VN_CHECK(it != jobs_.end());
  *it->second.mutable_job()->mutable_stages(place.stage)->mutable_progress() = progress;
}

void State::Unlink(const JobRecord& record) {
  by_order_.erase(record.order());
  auto& [all, alive] = counts_[record.tenant()];
  --all;
  alive -= live_.erase(record.order());
  by_request_.erase({record.tenant(), record.request_id()});
  for (const StageRecord& stage : record.stages()) {
    if (stage.has_lease()) leases_.erase(stage.lease().lease());
  }
}

absl::StatusOr<v1::Dataset> StateCatalog::FindDataset(absl::string_view name) const {
  return state_.datasets.Resolve(tenant_, name);
}

absl::StatusOr<v1::Model> StateCatalog::FindModel(absl::string_view name) const {
  return state_.models.Resolve(tenant_, name);
}

absl::StatusOr<AdapterFacts> StateCatalog::FindAdapter(const v1::AdapterRef& ref) const {
  if (ref.has_job()) return AdapterOfJob(ref.job());
  VN_ASSIGN_OR_RETURN(const AdapterRecord adapter,
                      state_.adapters.Resolve(tenant_, absl::StripPrefix(ref.adapter(), "adapters/")));
  return AdapterFacts{.key = adapter.key()};
}

// `name`: "jobs/ID" or "jobs/ID/stages/STAGE".
absl::StatusOr<AdapterFacts> StateCatalog::AdapterOfJob(absl::string_view name) const {
  const std::pair<std::string, std::string> parts = absl::StrSplit(name, absl::MaxSplits("/stages/", 1));
  VN_ASSIGN_OR_RETURN(const JobRecord* job, state_.Resolve(tenant_, parts.first));
  const StageRecord* found = nullptr;
  bool has_weights = false;
  std::string key;
  for (const StageRecord& stage : job->stages()) {
    if (!parts.second.empty() && stage.id() != parts.second) continue;
    for (const v1::Artifact& artifact : stage.artifacts()) {
      has_weights = has_weights || artifact.name() == "weights";
      if (artifact.name() != "adapter") continue;
      if (found != nullptr) {
        return absl::InvalidArgumentError(
            absl::StrCat(job->job().name(), " published several adapters (stages ", found->id(), ", ",
                         stage.id(), "); write ", job->job().name(), "/stages/", stage.id()));
      }
      found = &stage;
      key = artifact.key();
    }
  }
  if (found == nullptr) {
    const bool ended = HasEnded(job->job().state());
    const std::string what = absl::StrCat(
        job->job().name(), parts.second.empty() ? "" : absl::StrCat(" stage \"", Excerpt(parts.second), "\""),
        " has published no adapter",
        has_weights
            ? ", but whole weights; pull them with `vernier adapters pull` and import the folder as a model"
        : ended ? ""
                : " yet; wait until it has");
    return ended ? absl::NotFoundError(what) : absl::FailedPreconditionError(what);
  }
  if (!found->weights_stage().empty() || !found->start_adapter_stage().empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the adapter of ", job->job().name(), " stage \"", found->id(),
                     "\" was trained on what another stage of its job published; it works only there"));
  }
  return AdapterFacts{.key = key, .model_digest = found->model_digest(), .model_name = found->model_name()};
}

}  // namespace vernier::server
