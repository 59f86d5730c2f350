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

namespace {

// A job's model that a stage published, and that stage by its place.
struct Published {
  int stage = 0;
  const v1::Artifact* artifact = nullptr;
};

// The jobs and the stage that "jobs/ID" or "jobs/ID/stages/STAGE" names; "" = any stage.
struct JobAndStage {
  const JobRecord* job = nullptr;
  std::string stage;
};

absl::StatusOr<JobAndStage> Resolve(const State& state, const std::string& tenant, absl::string_view name) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(name, absl::MaxSplits("/stages/", 1));
  VN_ASSIGN_OR_RETURN(const JobRecord* job, state.Resolve(tenant, parts.first));
  return JobAndStage{job, parts.second};
}

std::vector<Published> PublishedBy(const JobAndStage& named, absl::string_view artifact_name) {
  std::vector<Published> all;
  for (int i = 0; i < named.job->stages_size(); ++i) {
    const StageRecord& stage = named.job->stages(i);
    if (!named.stage.empty() && stage.id() != named.stage) continue;
    for (const v1::Artifact& artifact : stage.artifacts()) {
      if (artifact.name() == artifact_name) all.push_back({i, &artifact});
    }
  }
  return all;
}

absl::Status Ambiguous(const JobRecord& job, absl::string_view what, const std::vector<Published>& all) {
  const std::string second = job.stages(all[1].stage).id();
  return absl::InvalidArgumentError(absl::StrCat(job.job().name(), " published several ", what, " (stages ",
                                                 job.stages(all[0].stage).id(), ", ", second, "); write ",
                                                 job.job().name(), "/stages/", second));
}

// Nothing of the kind `what` was found. `instead`: what there is.
absl::Status NotPublished(const JobAndStage& named, absl::string_view what, absl::string_view instead) {
  const bool ended = HasEnded(named.job->job().state());
  const std::string text = absl::StrCat(
      named.job->job().name(),
      named.stage.empty() ? "" : absl::StrCat(" stage \"", Excerpt(named.stage), "\""), " has published no ",
      what, instead, instead.empty() && !ended ? " yet; wait until it has" : "");
  return ended ? absl::NotFoundError(text) : absl::FailedPreconditionError(text);
}

const std::string& TemplateOf(const JobRecord& job, int stage) {
  return job.job().spec().stages(stage).train().data().chat_template();
}

}  // namespace

// `name`: "jobs/ID" or "jobs/ID/stages/STAGE".
absl::StatusOr<AdapterFacts> StateCatalog::AdapterOfJob(absl::string_view name) const {
  VN_ASSIGN_OR_RETURN(const JobAndStage named, server::Resolve(state_, tenant_, name));
  const std::vector<Published> adapters = PublishedBy(named, "adapter");
  if (adapters.size() > 1) return Ambiguous(*named.job, "adapters", adapters);
  if (adapters.empty()) {
    return NotPublished(
        named, "adapter",
        PublishedBy(named, "weights").empty()
            ? ""
            : ", but whole weights; pull them with `vernier adapters pull` and import the folder as "
              "a model");
  }
  const StageRecord& stage = named.job->stages(adapters[0].stage);
  if (!stage.weights_stage().empty() || !stage.start_adapter_stage().empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the adapter of ", named.job->job().name(), " stage \"", stage.id(),
                     "\" was trained on what another stage of its job published; it works only there"));
  }
  return AdapterFacts{.key = adapters[0].artifact->key(),
                      .model_digest = stage.model_digest(),
                      .model_name = stage.model_name(),
                      .prepared_key = stage.prepared().key(),
                      .chat_template = TemplateOf(*named.job, adapters[0].stage)};
}

absl::StatusOr<PublishedFacts> StateCatalog::FindPublished(absl::string_view job) const {
  VN_ASSIGN_OR_RETURN(const JobAndStage named, server::Resolve(state_, tenant_, job));
  std::vector<Published> all = PublishedBy(named, "adapter");
  const std::vector<Published> weights = PublishedBy(named, "weights");
  const bool is_adapter = weights.empty();
  all.insert(all.end(), weights.begin(), weights.end());
  if (all.size() > 1) return Ambiguous(*named.job, "models", all);
  if (all.empty()) return NotPublished(named, "adapter and no weights", "");
  const StageRecord& stage = named.job->stages(all[0].stage);
  PublishedFacts facts = {.is_adapter = is_adapter,
                          .is_stacked = !stage.start_adapter_stage().empty(),
                          .key = all[0].artifact->key(),
                          .model_digest = stage.model_digest(),
                          .model_name = stage.model_name(),
                          .prepared_key = stage.prepared().key(),
                          .chat_template = TemplateOf(*named.job, all[0].stage),
                          .source = absl::StrCat(named.job->job().name(), " stage \"", stage.id(), "\"")};
  if (is_adapter && !stage.weights_stage().empty()) {
    const std::vector<Published> base = PublishedBy({named.job, stage.weights_stage()}, "weights");
    if (base.empty()) return NotPublished({named.job, stage.weights_stage()}, "weights", "");
    facts.model_key = base[0].artifact->key();
  }
  return facts;
}

}  // namespace vernier::server
