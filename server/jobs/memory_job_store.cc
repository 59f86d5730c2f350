#include "server/jobs/memory_job_store.h"

#include <algorithm>

#include "common/status_macros.h"

namespace vernier::server {
namespace {

template <typename T>
std::vector<Owned<T>> AllOf(const std::map<std::pair<std::string, std::string>, T>& things) {
  std::vector<Owned<T>> all;
  for (const auto& [key, value] : things) all.push_back({key.first, value});
  return all;
}

}  // namespace

absl::StatusOr<StoreSnapshot> MemoryJobStore::Load() {
  StoreSnapshot snapshot{.counters = counters_,
                         .datasets = AllOf(datasets_),
                         .models = AllOf(models_),
                         .adapters = AllOf(adapters_)};
  for (const auto& [id, record] : jobs_) snapshot.jobs.push_back(record);
  std::sort(snapshot.jobs.begin(), snapshot.jobs.end(),
            [](const JobRecord& a, const JobRecord& b) { return a.order() < b.order(); });
  return snapshot;
}

absl::Status MemoryJobStore::Commit(const StoreBatch& batch) {
  VN_RETURN_IF_ERROR(failure_);
  for (const StoreBatch::Event& event : batch.events) {
    if (events_.contains({event.job, event.event.sequence()})) {
      return absl::InternalError(absl::StrCat("memory: event ", event.event.sequence(), " of job ", event.job,
                                              " is stored already"));
    }
  }
  ++num_commits_;
  if (batch.counters) counters_ = *batch.counters;
  for (const JobRecord& record : batch.put_jobs) jobs_[record.id()] = record;
  for (const StoreBatch::Event& event : batch.events)
    events_[{event.job, event.event.sequence()}] = event.event;
  for (const StoreBatch::EventsBelow& below : batch.delete_events) {
    events_.erase(events_.lower_bound({below.job, 0}), events_.lower_bound({below.job, below.sequence}));
  }
  for (const StoreBatch::Point& point : batch.points) {
    StoredPoint& stored = points_[{point.job, point.point.stage(), point.point.step()}];
    stored.cursor = ++last_cursor_;
    MergePoint(point.point, stored.point);
  }
  for (const StoreBatch::PointsBelow& below : batch.delete_points) {
    points_.erase(points_.lower_bound({below.job, below.stage, INT64_MIN}),
                  points_.lower_bound({below.job, below.stage, below.step}));
  }
  for (const std::string& id : batch.delete_jobs) {
    jobs_.erase(id);
    std::erase_if(events_, [&](const auto& entry) { return entry.first.first == id; });
    std::erase_if(points_, [&](const auto& entry) { return std::get<0>(entry.first) == id; });
  }
  for (const auto& [tenant, dataset] : batch.put_datasets) datasets_[{tenant, dataset.name()}] = dataset;
  for (const auto& [tenant, name] : batch.delete_datasets) datasets_.erase({tenant, name});
  for (const auto& [tenant, model] : batch.put_models) models_[{tenant, model.name()}] = model;
  for (const auto& [tenant, name] : batch.delete_models) models_.erase({tenant, name});
  for (const auto& [tenant, adapter] : batch.put_adapters) adapters_[{tenant, adapter.digest()}] = adapter;
  for (const auto& [tenant, digest] : batch.delete_adapters) adapters_.erase({tenant, digest});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<v1::JobEvent>> MemoryJobStore::ListEvents(absl::string_view job, int64_t after,
                                                                     int limit) {
  std::vector<v1::JobEvent> found;
  for (auto it = events_.upper_bound({std::string(job), after});
       it != events_.end() && it->first.first == job && static_cast<int>(found.size()) < limit; ++it) {
    found.push_back(it->second);
  }
  return found;
}

absl::StatusOr<std::vector<StoredPoint>> MemoryJobStore::ListPoints(absl::string_view job,
                                                                    absl::string_view stage, int64_t after,
                                                                    int limit) {
  std::vector<StoredPoint> found;
  for (const auto& [key, stored] : points_) {
    if (std::get<0>(key) != job || stored.cursor <= after) continue;
    if (stage.empty() || std::get<1>(key) == stage) found.push_back(stored);
  }
  std::sort(found.begin(), found.end(),
            [](const StoredPoint& a, const StoredPoint& b) { return a.cursor < b.cursor; });
  if (static_cast<int>(found.size()) > limit) found.resize(limit);
  return found;
}

}  // namespace vernier::server
