#include <functional>
#include <set>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "server/core_impl.h"
#include "server/jobs/tasks.h"
#include "server/jobs/transitions.h"
#include "server/limits.h"
#include "storage/layout.h"

namespace vernier::server {
namespace {

constexpr int kDefaultThingsPage = 100;
constexpr size_t kMaxListed = 10'000;  // artifacts
constexpr size_t kShortDigest = 12;

// Names are ids: letters, digits and a few signs. Digests are 64 hex digits.
absl::Status CheckThing(absl::string_view what, absl::string_view name, absl::string_view digest) {
  VN_RETURN_IF_ERROR(storage::CheckId(what, name));
  if (digest.size() == 64 && absl::c_all_of(digest, absl::ascii_isxdigit) &&
      absl::c_none_of(digest, absl::ascii_isupper)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(what, " \"", name, "\": digest \"", Excerpt(digest),
                                                 "\" is not a SHA-256 in lower-case hex"));
}

// The thing to store, or the one that is there with the same name and content.
template <typename T>
absl::Status CheckNew(const OwnedTable<T>& table, absl::string_view what, absl::string_view tenant,
                      const T& thing, int64_t most) {
  const T* taken = table.FindName(tenant, NameOf(thing));
  if (taken != nullptr && taken->digest() != thing.digest()) {
    return absl::AlreadyExistsError(absl::StrCat(what, " \"", NameOf(thing), "\" is other content (",
                                                 taken->digest().substr(0, kShortDigest),
                                                 "); choose another name or delete that one"));
  }
  if (taken == nullptr && table.CountOf(tenant) >= most) {
    return absl::ResourceExhaustedError(
        absl::StrCat(most, " ", what, "s are kept, which is the limit; delete some"));
  }
  return absl::OkStatus();
}

template <typename T, typename Response, typename Add>
absl::StatusOr<Response> ListPage(const OwnedTable<T>& table, absl::string_view tenant, int page_size,
                                  const std::string& token, Add add) {
  const int page = page_size == 0 ? kDefaultThingsPage : page_size;
  if (page < 1 || page > kMaxPage) {
    return absl::InvalidArgumentError(absl::StrCat("page_size = ", page, " is outside [1, ", kMaxPage, "]"));
  }
  Response response;
  int count = 0;
  std::string last;
  table.ForEach(tenant, [&](const T& thing) {
    if (!token.empty() && NameOf(thing) <= token) return;
    if (count == page) response.set_next_page_token(last);
    if (++count > page) return;
    last = NameOf(thing);
    *add(response) = thing;
  });
  return response;
}

// A job that has not ended and for which `uses(stage)` holds; "" = none.
template <typename Uses>
std::string UserOf(const State& state, absl::string_view tenant, Uses uses) {
  for (const auto& [order, id] : state.live_jobs()) {
    const JobRecord& record = *state.Find(id);
    if (record.tenant() == tenant && absl::c_any_of(record.stages(), uses)) return record.job().name();
  }
  return "";
}

// Other names of the same content keep it alive.
template <typename T>
bool HasOtherName(const OwnedTable<T>& table, absl::string_view tenant, const T& thing) {
  bool other = false;
  table.ForEach(tenant, [&](const T& candidate) {
    other = other || (candidate.digest() == thing.digest() && NameOf(candidate) != NameOf(thing));
  });
  return other;
}

absl::Status InUse(absl::string_view what, absl::string_view name, absl::string_view job) {
  return absl::FailedPreconditionError(absl::StrCat(what, " \"", name, "\" is used by ", job,
                                                    ", which has not ended; wait for it or cancel it"));
}

}  // namespace

// --- Datasets.

absl::StatusOr<Core::Registered> Core::RegisterDataset(absl::string_view tenant, const v1::Dataset& dataset,
                                                       absl::Time now) {
  Draft draft = impl_->Begin(now);
  const OwnedTable<v1::Dataset>& table = impl_->state.datasets;
  const v1::Dataset* known = table.FindDigest(tenant, dataset.digest());
  Registered out{.dataset = dataset, .existed = known != nullptr};
  if (dataset.name().empty()) {
    out.dataset.set_name(known != nullptr ? known->name() : dataset.digest().substr(0, kShortDigest));
  }
  VN_RETURN_IF_ERROR(CheckThing("dataset", out.dataset.name(), dataset.digest()));
  VN_RETURN_IF_ERROR(CheckNew(table, "dataset", tenant, out.dataset, impl_->options.limits.max_named_things));
  if (const v1::Dataset* same = table.FindName(tenant, out.dataset.name())) {
    out.dataset = *same;
    return out;
  }
  *out.dataset.mutable_create_time() = ToTimestamp(draft.now());
  draft.batch().put_datasets.push_back({std::string(tenant), out.dataset});
  VN_RETURN_IF_ERROR(impl_->Finish(draft));
  return out;
}

absl::StatusOr<v1::Dataset> Core::GetDataset(absl::string_view tenant, absl::string_view name) const {
  return impl_->state.datasets.Resolve(tenant, name);
}

bool Core::MayBeDamaged(absl::string_view tenant, absl::string_view digest) const {
  return absl::c_any_of(impl_->state.all_jobs(), [&](const auto& job) {
    const JobRecord& record = *impl_->state.Find(job.second);
    if (record.tenant() != tenant ||
        record.job().error().code() != absl::StatusCodeToString(absl::StatusCode::kDataLoss)) {
      return false;
    }
    for (int i = 0; i < record.stages_size(); ++i) {
      if (absl::c_any_of(DatasetsOf(record, i), [&](const auto& read) { return read.second == digest; }))
        return true;
    }
    return false;
  });
}

absl::StatusOr<v1::ListDatasetsResponse> Core::ListDatasets(absl::string_view tenant,
                                                            const v1::ListDatasetsRequest& request) const {
  return ListPage<v1::Dataset, v1::ListDatasetsResponse>(
      impl_->state.datasets, tenant, request.page_size(), request.page_token(),
      [](v1::ListDatasetsResponse& response) { return response.add_datasets(); });
}

absl::Status Core::DeleteDataset(absl::string_view tenant, absl::string_view name) {
  VN_ASSIGN_OR_RETURN(const v1::Dataset dataset, impl_->state.datasets.Resolve(tenant, name));
  const std::string& digest = dataset.digest();
  const std::string user = UserOf(impl_->state, tenant, [&](const StageRecord& stage) {
    return stage.dataset_digest() == digest || stage.validation_digest() == digest ||
           absl::c_linear_search(stage.mix_digests(), digest);
  });
  const bool last_name = !HasOtherName(impl_->state.datasets, tenant, dataset);
  if (last_name && !user.empty()) return InUse("dataset", dataset.name(), user);
  Draft draft = impl_->Begin(absl::InfinitePast());
  draft.batch().delete_datasets.push_back({std::string(tenant), dataset.name()});
  if (last_name) {
    draft.Then(DeleteObjects{.prefix = absl::StrCat(storage::DatasetFolder(tenant, digest), "/")});
  }
  return impl_->Finish(draft);
}

// --- Models.

absl::StatusOr<v1::Model> Core::RegisterModel(absl::string_view tenant, const v1::Model& model,
                                              absl::Time now) {
  Draft draft = impl_->Begin(now);
  const OwnedTable<v1::Model>& table = impl_->state.models;
  v1::Model added = model;
  if (added.name().empty()) {
    const v1::Model* known = table.FindDigest(tenant, model.digest());
    added.set_name(known != nullptr ? known->name() : model.digest().substr(0, kShortDigest));
  }
  VN_RETURN_IF_ERROR(CheckThing("model", added.name(), model.digest()));
  VN_RETURN_IF_ERROR(CheckNew(table, "model", tenant, added, impl_->options.limits.max_named_things));
  *added.mutable_create_time() = ToTimestamp(draft.now());
  if (const v1::Model* same = table.FindName(tenant, added.name())) {
    // A version before this one did not look at its layers.
    if (same->has_shape() || !added.has_shape()) return *same;
    *added.mutable_create_time() = same->create_time();
  }
  draft.batch().put_models.push_back({std::string(tenant), added});
  VN_RETURN_IF_ERROR(impl_->Finish(draft));
  return added;
}

absl::StatusOr<v1::Model> Core::GetModel(absl::string_view tenant, absl::string_view name) const {
  return impl_->state.models.Resolve(tenant, name);
}

absl::StatusOr<v1::ListModelsResponse> Core::ListModels(absl::string_view tenant,
                                                        const v1::ListModelsRequest& request) const {
  return ListPage<v1::Model, v1::ListModelsResponse>(
      impl_->state.models, tenant, request.page_size(), request.page_token(),
      [](v1::ListModelsResponse& response) { return response.add_models(); });
}

absl::Status Core::DeleteModel(absl::string_view tenant, absl::string_view name) {
  VN_ASSIGN_OR_RETURN(const v1::Model model, impl_->state.models.Resolve(tenant, name));
  const std::string user = UserOf(
      impl_->state, tenant, [&](const StageRecord& stage) { return stage.model_digest() == model.digest(); });
  const bool last_name = !HasOtherName(impl_->state.models, tenant, model);
  if (last_name && !user.empty()) return InUse("model", model.name(), user);
  Draft draft = impl_->Begin(absl::InfinitePast());
  draft.batch().delete_models.push_back({std::string(tenant), model.name()});
  if (last_name) {
    draft.Then(DeleteObjects{.prefix = absl::StrCat(storage::ModelFolder(tenant, model.digest()), "/")});
  }
  return impl_->Finish(draft);
}

// --- Adapters.

absl::StatusOr<AdapterRecord> Core::RegisterAdapter(absl::string_view tenant, const AdapterRecord& adapter,
                                                    absl::Time now) {
  Draft draft = impl_->Begin(now);
  VN_RETURN_IF_ERROR(CheckThing("adapter", adapter.digest(), adapter.digest()));
  VN_RETURN_IF_ERROR(
      CheckNew(impl_->state.adapters, "adapter", tenant, adapter, impl_->options.limits.max_named_things));
  if (const AdapterRecord* same = impl_->state.adapters.FindName(tenant, adapter.digest())) return *same;
  AdapterRecord added = adapter;
  *added.mutable_create_time() = ToTimestamp(draft.now());
  draft.batch().put_adapters.push_back({std::string(tenant), added});
  VN_RETURN_IF_ERROR(impl_->Finish(draft));
  return added;
}

absl::StatusOr<std::vector<AdapterRecord>> Core::ListAdapters(absl::string_view tenant) const {
  std::vector<AdapterRecord> adapters;
  impl_->state.adapters.ForEach(tenant, [&](const AdapterRecord& adapter) { adapters.push_back(adapter); });
  return adapters;
}

absl::Status Core::DeleteAdapter(absl::string_view tenant, absl::string_view name) {
  VN_ASSIGN_OR_RETURN(const AdapterRecord adapter,
                      impl_->state.adapters.Resolve(tenant, absl::StripPrefix(name, "adapters/")));
  const std::string user = UserOf(
      impl_->state, tenant, [&](const StageRecord& stage) { return stage.adapter_key() == adapter.key(); });
  if (!user.empty()) return InUse("adapter", adapter.digest(), user);
  Draft draft = impl_->Begin(absl::InfinitePast());
  draft.batch().delete_adapters.push_back({std::string(tenant), adapter.digest()});
  draft.Then(DeleteObjects{.prefix = absl::StrCat(adapter.key(), "/")});
  return impl_->Finish(draft);
}

// --- Artifacts.

absl::StatusOr<std::vector<v1::Artifact>> Core::ListArtifacts(absl::string_view tenant,
                                                              absl::string_view job) const {
  std::vector<v1::Artifact> artifacts;
  const auto add = [&](const JobRecord& record) {
    for (const StageRecord& stage : record.stages()) {
      artifacts.insert(artifacts.end(), stage.artifacts().begin(), stage.artifacts().end());
    }
  };
  if (!job.empty()) {
    VN_ASSIGN_OR_RETURN(const JobRecord* record, impl_->state.Resolve(tenant, job));
    add(*record);
    return artifacts;
  }
  const auto& all = impl_->state.all_jobs();
  for (auto it = all.rbegin(); it != all.rend() && artifacts.size() < kMaxListed; ++it) {
    const JobRecord& record = *impl_->state.Find(it->second);
    if (record.tenant() == tenant) add(record);
  }
  if (artifacts.size() > kMaxListed) artifacts.resize(kMaxListed);
  return artifacts;
}

absl::StatusOr<v1::Artifact> Core::GetArtifact(absl::string_view tenant, absl::string_view job,
                                               absl::string_view stage, absl::string_view name) const {
  VN_ASSIGN_OR_RETURN(const std::vector<v1::Artifact> all, ListArtifacts(tenant, job.empty() ? "?" : job));
  std::vector<const v1::Artifact*> found;
  std::vector<std::string> known;
  for (const v1::Artifact& artifact : all) {
    known.push_back(absl::StrCat(artifact.stage(), "/", artifact.name()));
    if ((stage.empty() || artifact.stage() == stage) && (name.empty() || artifact.name() == name)) {
      found.push_back(&artifact);
    }
  }
  if (found.size() == 1) return *found.front();
  const std::string there =
      known.empty() ? "it has published none" : absl::StrCat("it has ", absl::StrJoin(known, ", "));
  if (found.empty()) {
    return absl::NotFoundError(
        absl::StrCat(job, ": no artifact \"", Excerpt(name), "\"",
                     stage.empty() ? "" : absl::StrCat(" of stage \"", Excerpt(stage), "\""), "; ", there));
  }
  return absl::InvalidArgumentError(absl::StrCat(job, ": say which artifact (stage and name); ", there));
}

// --- What is alive.

namespace {

void VisitLiveOfJob(const JobRecord& record, const std::function<void(const std::string&)>& visit) {
  for (int i = 0; i < record.stages_size(); ++i) {
    const StageRecord& stage = record.stages(i);
    visit(absl::StrCat(storage::StageFolder(record.tenant(), record.id(), stage.id()), "/metrics/"));
    for (const v1::Artifact& artifact : stage.artifacts()) visit(absl::StrCat(artifact.key(), "/"));
    for (const v1::CheckpointInfo& checkpoint : record.job().stages(i).checkpoints()) {
      visit(absl::StrCat(checkpoint.key(), "/"));
    }
    // Preparing is cheap to do again: an ended job lets go of its rows.
    if (stage.has_prepared() && !HasEnded(record.job().state()))
      visit(absl::StrCat(stage.prepared().key(), "/"));
  }
}

void VisitLive(const State& state, const std::function<void(const std::string&)>& visit) {
  state.datasets.ForEachTenant([&](const std::string& tenant, const v1::Dataset& dataset) {
    visit(absl::StrCat(storage::DatasetFolder(tenant, dataset.digest()), "/"));
  });
  state.models.ForEachTenant([&](const std::string& tenant, const v1::Model& model) {
    visit(absl::StrCat(storage::ModelFolder(tenant, model.digest()), "/"));
    visit(absl::StrCat(storage::TenantFolder(tenant), "/model_sources/"));
  });
  state.adapters.ForEachTenant(
      [&](const std::string&, const AdapterRecord& adapter) { visit(absl::StrCat(adapter.key(), "/")); });
  for (const auto& [order, id] : state.all_jobs()) VisitLiveOfJob(*state.Find(id), visit);
}

}  // namespace

std::vector<std::string> Core::LivePrefixes() const {
  std::set<std::string> live;
  VisitLive(impl_->state, [&](const std::string& prefix) { live.insert(prefix); });
  return {live.begin(), live.end()};
}

bool Core::IsLive(absl::string_view prefix) const {
  bool found = false;
  const auto visit = [&](const std::string& live) {
    found = found || absl::StartsWith(live, prefix) || absl::StartsWith(prefix, live);
  };
  // What lies below a job's folder belongs to that job alone: tenants/<tenant>/jobs/<id>/...
  const std::vector<absl::string_view> parts = absl::StrSplit(prefix, '/');
  if (parts.size() > 4 && parts[0] == "tenants" && parts[2] == "jobs") {
    if (const JobRecord* record = impl_->state.Find(parts[3])) VisitLiveOfJob(*record, visit);
  } else {
    VisitLive(impl_->state, visit);
  }
  return found;
}

}  // namespace vernier::server
