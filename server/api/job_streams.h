// Feeds WatchJob and StreamMetrics calls. A stream is given what is new whenever its last messages are out,
// so a slow reader costs one page of memory, and misses live progress but no stored event.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/api/streams.h"
#include "server/core.h"
#include "server/strand.h"
#include "vernier/v1/job_service.pb.h"

namespace vernier::server {

using WatchStream = ServerStream<v1::WatchJobResponse>;
using MetricStream = ServerStream<v1::StreamMetricsResponse>;

// Thread-compatible: the strand's thread only.
class JobStreams {
 public:
  static constexpr size_t kMaxStreams = 1'000;  // of both kinds

  // Begins to feed `stream`, which was launched already. Errors end the stream. `strand` must outlive the
  // streams.
  void Watch(Core& core, Strand& strand, absl::string_view tenant, const v1::WatchJobRequest& request,
             const std::shared_ptr<WatchStream>& stream);
  void Follow(Core& core, Strand& strand, absl::string_view tenant, const v1::StreamMetricsRequest& request,
              const std::shared_ptr<MetricStream>& stream);

  // Effects. `job` is "jobs/ID".
  void JobChanged(Core& core, const std::string& job);
  void JobProgress(const std::string& job, const v1::JobEvent& event);
  void MetricsChanged(Core& core, const std::string& job);
  // Ends every stream.
  void EndAll(const absl::Status& status);

 private:
  struct Watcher {
    std::string tenant, job;
    int64_t last_sequence = 0;
    bool until_now = false;
    v1::JobState state = v1::JOB_STATE_UNSPECIFIED;     // of the last event or job sent
    std::map<std::string, v1::JobEvent> live_progress;  // newest by stage, while the stream is busy
    std::shared_ptr<WatchStream> stream;
  };
  struct Follower {
    std::string tenant, job, stage;
    bool follow = false;
    int64_t cursor = 0;
    std::shared_ptr<MetricStream> stream;
  };

  void Feed(Core& core, Watcher& watcher);
  void Feed(Core& core, Follower& follower);
  // Room for one more, or ends `stream`.
  template <typename Stream>
  bool Admit(Stream& stream) const;

  uint64_t last_id_ = 0;
  absl::flat_hash_map<uint64_t, Watcher> watchers_;
  absl::flat_hash_map<uint64_t, Follower> followers_;
};

}  // namespace vernier::server
