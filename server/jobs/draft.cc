#include "server/jobs/draft.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "server/jobs/transitions.h"

namespace vernier::server {
namespace {

constexpr int64_t kTrimEvery = 100;   // events
constexpr int64_t kTrimSteps = 1000;  // of points

}  // namespace

std::string Shortened(absl::string_view text, size_t max_bytes) {
  constexpr absl::string_view kMark = " ...";
  if (text.size() <= max_bytes) return std::string(text);
  size_t end = max_bytes - kMark.size();
  // Not inside a UTF-8 sequence: continuation bytes are 10xxxxxx.
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return absl::StrCat(text.substr(0, end), kMark);
}

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  google::protobuf::Timestamp out;
  const int64_t micros = absl::ToUnixMicros(time);
  out.set_seconds(micros / 1'000'000);
  out.set_nanos(static_cast<int32_t>(micros % 1'000'000 * 1000));
  return out;
}

absl::Time FromTimestamp(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

const JobRecord* Draft::Find(absl::string_view id) const {
  if (deleted_.contains(id)) return nullptr;
  const auto it = edited_.find(id);
  return it != edited_.end() ? &it->second : state_.Find(id);
}

JobRecord& Draft::Edit(absl::string_view id) {
  const auto it = edited_.find(id);
  if (it != edited_.end()) return it->second;
  const JobRecord* record = state_.Find(id);
  VN_CHECK(record != nullptr && !deleted_.contains(id));
  return edited_.emplace(std::string(id), *record).first->second;
}

JobRecord& Draft::Add(JobRecord record) {
  const std::string id = record.id();
  added_.push_back(id);
  return edited_.emplace(id, std::move(record)).first->second;
}

std::vector<std::string> Draft::LiveJobs() const {
  std::vector<std::string> ids;
  ids.reserve(state_.live_jobs().size() + added_.size());
  for (const auto& [order, id] : state_.live_jobs()) ids.push_back(id);
  ids.insert(ids.end(), added_.begin(), added_.end());
  for (const auto& [id, record] : edited_) {
    const JobRecord* const before = state_.Find(id);
    if (before == nullptr || !HasEnded(before->job().state()) || HasEnded(record.job().state())) continue;
    const auto after_it = std::find_if(
        ids.begin(), ids.end(),
        [&, order = record.order()](const std::string& other) { return Find(other)->order() > order; });
    ids.insert(after_it, id);
  }
  return ids;
}

void Draft::Delete(const std::string& id) {
  edited_.erase(id);
  deleted_.insert(id);
  batch_.delete_jobs.push_back(id);
}

Counters& Draft::counters() {
  if (!batch_.counters) batch_.counters = state_.counters;
  return *batch_.counters;
}

uint64_t Draft::NextToken() { return counters().next_token++; }
uint64_t Draft::NextOrder() { return counters().next_order++; }

void Draft::AddEvent(JobRecord& record, absl::string_view level, absl::string_view stage,
                     absl::string_view message) {
  v1::JobEvent event;
  event.set_sequence(record.last_event() + 1);
  *event.mutable_time() = ToTimestamp(now_);
  event.set_level(std::string(level));
  event.set_stage(std::string(stage));
  event.set_message(Shortened(message, kMaxReasonBytes));
  event.set_state(record.job().state());
  record.set_last_event(event.sequence());
  if (event.sequence() > limits_.max_events_per_job && event.sequence() % kTrimEvery == 0) {
    batch_.delete_events.push_back({record.id(), event.sequence() - limits_.max_events_per_job + 1});
  }
  batch_.events.push_back({record.id(), std::move(event)});
}

void Draft::AddPoint(const JobRecord& record, v1::MetricPoint point) {
  if (point.step() > limits_.max_points_per_stage && point.step() % kTrimSteps == 0) {
    batch_.delete_points.push_back({record.id(), point.stage(), point.step() - limits_.max_points_per_stage});
  }
  batch_.points.push_back({record.id(), std::move(point)});
}

void Draft::SetProgress(const StagePlace& place, const v1::Progress& progress) {
  const auto it = edited_.find(place.job);
  if (it != edited_.end())
    *it->second.mutable_job()->mutable_stages(place.stage)->mutable_progress() = progress;
  progress_.emplace_back(place, progress);
}

int64_t Draft::HandledOf(absl::string_view lease) const {
  const auto it = handled_.find(std::string(lease));
  return it == handled_.end() ? 0 : it->second.sequence;
}

void Draft::CollectLeases(const JobRecord* before, const JobRecord* after, Committed& out) const {
  std::map<std::string, bool> old_leases;  // id, committed
  if (before != nullptr) {
    for (const StageRecord& stage : before->stages()) {
      if (stage.has_lease()) old_leases[stage.lease().lease()] = stage.lease().committed();
    }
  }
  if (after != nullptr) {
    for (const StageRecord& stage : after->stages()) {
      if (!stage.has_lease()) continue;
      const auto it = old_leases.find(stage.lease().lease());
      const bool was_committed = it != old_leases.end() && it->second;
      if (stage.lease().committed() && !was_committed) out.started.push_back(stage.lease().lease());
      if (it != old_leases.end()) old_leases.erase(it);
    }
  }
  for (const auto& [lease, committed] : old_leases) out.released.push_back(lease);
}

absl::StatusOr<Draft::Committed> Draft::Commit(JobStore& store) {
  for (const auto& [id, record] : edited_) batch_.put_jobs.push_back(record);
  const bool writes = !batch_.empty();
  if (writes) VN_RETURN_IF_ERROR(store.Commit(batch_));

  Committed out{.wrote = writes,
                .effects = std::move(effects_),
                .messages = std::move(messages_),
                .handled = std::move(handled_)};
  if (batch_.counters) state_.counters = *batch_.counters;
  for (const StoreBatch::Event& event : batch_.events) {
    VN_LOG(INFO) << "job event job=jobs/" << event.job << " stage=" << event.event.stage()
                 << " state=" << v1::JobState_Name(event.event.state())
                 << " message=" << event.event.message();
  }
  // Progress first: an edited record has the newest already, and replaces it.
  for (const auto& [place, progress] : progress_) {
    if (state_.Find(place.job) != nullptr) state_.SetProgress(place, progress);
  }
  for (auto& [id, record] : edited_) {
    CollectLeases(state_.Find(id), &record, out);
    out.effects.push_back(JobChanged{record.job().name()});
    state_.Put(std::move(record));
  }
  for (const std::string& id : deleted_) {
    const JobRecord* record = state_.Find(id);
    if (record == nullptr) continue;
    CollectLeases(record, nullptr, out);
    out.effects.push_back(JobChanged{record->job().name()});
    state_.Erase(id);
  }
  for (const auto& [tenant, dataset] : batch_.put_datasets) state_.datasets.Put(tenant, dataset);
  for (const auto& [tenant, name] : batch_.delete_datasets) state_.datasets.Erase(tenant, name);
  for (const auto& [tenant, model] : batch_.put_models) state_.models.Put(tenant, model);
  for (const auto& [tenant, name] : batch_.delete_models) state_.models.Erase(tenant, name);
  for (const auto& [tenant, adapter] : batch_.put_adapters) state_.adapters.Put(tenant, adapter);
  for (const auto& [tenant, digest] : batch_.delete_adapters) state_.adapters.Erase(tenant, digest);
  return out;
}

}  // namespace vernier::server
