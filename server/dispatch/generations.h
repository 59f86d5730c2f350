// Generate requests: side work that is not a job. Nothing of them is stored; they die with their caller, with
// their agent's connection, and with vernierd. Thread-compatible.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "scheduler/cluster_view.h"
#include "server/effects.h"
#include "server/validate/catalog.h"
#include "vernier/v1/artifact_service.pb.h"
#include "vernier/v1/task.pb.h"

namespace vernier::server {

struct Generation {
  uint64_t id = 0;
  std::string tenant;
  v1::GenerateTask task;
  std::string model_name;  // as users know it
  absl::Time start_time;
  std::string reason;  // why it waits
  // While leased:
  std::string lease;  // "" = waits
  uint64_t token = 0;
  std::string agent;
  std::string device;
  int threads = 1;
  bool committed = false;
  absl::Time grant_time;
  int64_t last_sequence = 0;
  // Of a conversation (task.keep):
  int64_t turn = 1;          // of the newest request
  int open_prompts = 0;      // of that request, not answered yet
  bool interrupted = false;  // that request: asked to end its answers
  absl::Time idle_since = absl::InfiniteFuture();

  bool idle() const { return idle_since < absl::InfiniteFuture(); }
};

// From what the caller asked to a task: names resolved, defaults filled in. InvalidArgument, NotFound,
// FailedPrecondition.
absl::StatusOr<v1::GenerateTask> ResolveGenerate(const v1::GenerateRequest& request, const Catalog& catalog,
                                                 absl::string_view tenant);

// A further request of a conversation: only prompts and decoding, filled in from the first one's. The same
// errors.
absl::StatusOr<v1::GenerateTask> ResolveFurther(const v1::GenerateRequest& request,
                                                const v1::GenerateTask& first);

class Generations {
 public:
  explicit Generations(int max_generations) : max_generations_(max_generations) {}

  // ResourceExhausted: too many at a time.
  absl::StatusOr<uint64_t> Start(absl::string_view tenant, v1::GenerateTask task, absl::Time now);
  // Null: it ended.
  Generation* Find(uint64_t id);
  // By its lease; null: none.
  Generation* FindLease(absl::string_view lease);
  void Erase(uint64_t id) { generations_.erase(id); }

  // In order of id.
  std::map<uint64_t, Generation>& all() { return generations_; }
  const std::map<uint64_t, Generation>& all() const { return generations_; }

  static std::string KeyOf(uint64_t id);
  static scheduler::PendingView PendingOf(const Generation& generation);
  static v1::Task TaskOf(const Generation& generation, absl::string_view incarnation,
                         absl::string_view store_uri);

 private:
  const int max_generations_;
  uint64_t last_id_ = 0;
  std::map<uint64_t, Generation> generations_;
};

}  // namespace vernier::server
