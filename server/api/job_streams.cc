#include "server/api/job_streams.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/jobs/transitions.h"

namespace vernier::server {
namespace {

constexpr int kEventsAtOnce = 100;
constexpr int kPointsAtOnce = 1'000;

}  // namespace

template <typename Stream>
bool JobStreams::Admit(Stream& stream) const {
  if (watchers_.size() + followers_.size() < kMaxStreams) return true;
  stream.End(absl::ResourceExhaustedError(
      absl::StrCat(kMaxStreams, " clients watch jobs already; try again once some have left")));
  return false;
}

void JobStreams::Watch(Core& core, Strand& strand, absl::string_view tenant,
                       const v1::WatchJobRequest& request, const std::shared_ptr<WatchStream>& stream) {
  const StreamHold hold(*stream);
  if (!hold || !Admit(*stream)) return;
  const absl::StatusOr<v1::Job> job = core.GetJob(tenant, request.name());
  if (!job.ok()) return stream->End(job.status());
  if (request.after_sequence() < 0) {
    return stream->End(absl::InvalidArgumentError("after_sequence is negative; 0 asks for every event"));
  }
  const uint64_t id = ++last_id_;
  stream->OnDrained([this, id, &strand] {
    strand.PostAlways([this, id](Core& core, absl::Time) {
      if (const auto found = watchers_.find(id); found != watchers_.end()) Feed(core, found->second);
    });
  });
  stream->OnEnded(
      [this, id, &strand] { strand.PostAlways([this, id](Core&, absl::Time) { watchers_.erase(id); }); });
  Watcher watcher{.tenant = std::string(tenant),
                  .job = job->name(),
                  .last_sequence = request.after_sequence(),
                  .until_now = request.until_now(),
                  .stream = stream};
  Feed(core, watchers_.emplace(id, std::move(watcher)).first->second);
}

void JobStreams::Feed(Core& core, Watcher& watcher) {
  if (!watcher.stream->idle()) return;
  const absl::StatusOr<std::vector<v1::JobEvent>> events =
      core.ListEvents(watcher.tenant, watcher.job, watcher.last_sequence, kEventsAtOnce);
  const absl::StatusOr<v1::Job> job = core.GetJob(watcher.tenant, watcher.job);
  if (!events.ok()) return watcher.stream->End(events.status());
  if (!job.ok()) return watcher.stream->End(job.status());
  std::vector<v1::WatchJobResponse> responses;
  if (watcher.state == v1::JOB_STATE_UNSPECIFIED) {  // the first message of all says where the job is
    *responses.emplace_back().mutable_job() = *job;
    watcher.state = job->state();
  }
  v1::JobState before = watcher.state;
  for (const v1::JobEvent& event : *events) {
    v1::WatchJobResponse& response = responses.emplace_back();
    *response.mutable_event() = event;
    // The job is sent as it is now: with an old event only when it fits.
    if (event.state() != before && event.state() == job->state()) *response.mutable_job() = *job;
    before = event.state();
    watcher.last_sequence = event.sequence();
  }
  watcher.state = before;
  const bool caught_up = events->size() < kEventsAtOnce;
  if (caught_up) {
    for (auto& [stage, event] : watcher.live_progress)
      *responses.emplace_back().mutable_event() = std::move(event);
    watcher.live_progress.clear();
    // Whatever the events said, the last message of an ended job holds it as it ended.
    if (HasEnded(job->state()) && !responses.empty() && !responses.back().has_job()) {
      *responses.back().mutable_job() = *job;
    }
  }
  for (v1::WatchJobResponse& response : responses) watcher.stream->Write(std::move(response));
  if (caught_up && (watcher.until_now || HasEnded(job->state()))) watcher.stream->End(absl::OkStatus());
}

void JobStreams::Follow(Core& core, Strand& strand, absl::string_view tenant,
                        const v1::StreamMetricsRequest& request,
                        const std::shared_ptr<MetricStream>& stream) {
  const StreamHold hold(*stream);
  if (!hold || !Admit(*stream)) return;
  const absl::StatusOr<v1::Job> job = core.GetJob(tenant, request.name());
  if (!job.ok()) return stream->End(job.status());
  const uint64_t id = ++last_id_;
  stream->OnDrained([this, id, &strand] {
    strand.PostAlways([this, id](Core& core, absl::Time) {
      if (const auto found = followers_.find(id); found != followers_.end()) Feed(core, found->second);
    });
  });
  stream->OnEnded(
      [this, id, &strand] { strand.PostAlways([this, id](Core&, absl::Time) { followers_.erase(id); }); });
  Follower follower{.tenant = std::string(tenant),
                    .job = job->name(),
                    .stage = request.stage(),
                    .follow = request.follow(),
                    .stream = stream};
  Feed(core, followers_.emplace(id, std::move(follower)).first->second);
}

void JobStreams::Feed(Core& core, Follower& follower) {
  if (!follower.stream->idle()) return;
  const absl::StatusOr<std::vector<StoredPoint>> points =
      core.ListPoints(follower.tenant, follower.job, follower.stage, follower.cursor, kPointsAtOnce);
  if (!points.ok()) return follower.stream->End(points.status());
  if (!points->empty()) {
    v1::StreamMetricsResponse response;
    for (const StoredPoint& point : *points) *response.add_points() = point.point;
    follower.cursor = points->back().cursor;
    follower.stream->Write(std::move(response));
  }
  if (points->size() == kPointsAtOnce) return;  // more once these are out
  const absl::StatusOr<v1::Job> job = core.GetJob(follower.tenant, follower.job);
  if (!follower.follow || !job.ok() || HasEnded(job->state())) follower.stream->End(job.status());
}

void JobStreams::JobChanged(Core& core, const std::string& job) {
  for (auto& [id, watcher] : watchers_) {
    if (watcher.job == job) Feed(core, watcher);
  }
  MetricsChanged(core, job);  // those who follow end with the job
}

void JobStreams::JobProgress(const std::string& job, const v1::JobEvent& event) {
  for (auto& [id, watcher] : watchers_) {
    if (watcher.job != job) continue;
    if (watcher.stream->idle()) {
      v1::WatchJobResponse response;
      *response.mutable_event() = event;
      watcher.stream->Write(std::move(response));
    } else {
      watcher.live_progress[event.stage()] = event;
    }
  }
}

void JobStreams::MetricsChanged(Core& core, const std::string& job) {
  for (auto& [id, follower] : followers_) {
    if (follower.job == job) Feed(core, follower);
  }
}

void JobStreams::EndAll(const absl::Status& status) {
  for (auto& [id, watcher] : watchers_) watcher.stream->End(status);
  for (auto& [id, follower] : followers_) follower.stream->End(status);
}

}  // namespace vernier::server
