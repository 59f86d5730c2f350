// A JobStore without a disk, for tests and the simulation: what it keeps outlives the Core that used it.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "server/jobs/job_store.h"

namespace vernier::server {

class MemoryJobStore final : public JobStore {
 public:
  absl::StatusOr<StoreSnapshot> Load() override;
  absl::Status Commit(const StoreBatch& batch) override;
  absl::StatusOr<std::vector<v1::JobEvent>> ListEvents(absl::string_view job, int64_t after,
                                                       int limit) override;
  absl::StatusOr<std::vector<StoredPoint>> ListPoints(absl::string_view job, absl::string_view stage,
                                                      int64_t after, int limit) override;

  // The next commits fail with this; OK: they work again.
  void FailWith(absl::Status status) { failure_ = std::move(status); }
  int64_t num_commits() const { return num_commits_; }

 private:
  using TenantKey = std::pair<std::string, std::string>;
  Counters counters_;
  std::map<std::string, JobRecord> jobs_;
  std::map<std::pair<std::string, int64_t>, v1::JobEvent> events_;
  std::map<std::tuple<std::string, std::string, int64_t>, StoredPoint> points_;  // (job, stage, step)
  int64_t last_cursor_ = 0;
  std::map<TenantKey, v1::Dataset> datasets_;
  std::map<TenantKey, v1::Model> models_;
  std::map<TenantKey, AdapterRecord> adapters_;
  absl::Status failure_;
  int64_t num_commits_ = 0;
};

}  // namespace vernier::server
