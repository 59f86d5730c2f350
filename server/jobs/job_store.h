// What survives a restart of vernierd: jobs with their history and metric points, named things, counters.
//
// Backends   sqlite_job_store.h, memory_job_store.h (tests);
// tests/unit/server_jobs/job_store_contract_test.cc holds
//            for every one.
// Errors     ResourceExhausted: no space. Unavailable: busy, may work when tried again. FailedPrecondition:
// the store
//            is of another version. DataLoss: it cannot be read. Messages start with the store's place.
// Threading  Thread-compatible.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/jobs/record.pb.h"
#include "vernier/v1/data.pb.h"
#include "vernier/v1/job.pb.h"
#include "vernier/v1/model.pb.h"

namespace vernier::server {

struct StoredPoint {
  int64_t cursor = 0;  // rises with every write, also of a point that replaces one
  v1::MetricPoint point;
};

// Something that belongs to a tenant.
template <typename T>
struct Owned {
  std::string tenant;
  T value;
};

// Numbers that never go back.
struct Counters {
  uint64_t epoch = 0;       // starts of vernierd
  uint64_t next_token = 1;  // fencing tokens
  uint64_t next_order = 1;  // of submissions
  bool operator==(const Counters&) const = default;
};

// One transaction. Deletions of a job take its events and points along.
struct StoreBatch {
  std::optional<Counters> counters;
  std::vector<JobRecord> put_jobs;
  std::vector<std::string> delete_jobs;  // ids
  struct Event {
    std::string job;
    v1::JobEvent event;
  };
  std::vector<Event> events;  // new (job, sequence) pairs
  struct EventsBelow {
    std::string job;
    int64_t sequence = 0;
  };
  std::vector<EventsBelow> delete_events;  // those with a lower sequence
  struct Point {
    std::string job;
    v1::MetricPoint point;
  };
  // The point of (job, stage, step): the values join those there, equal names are replaced.
  std::vector<Point> points;
  struct PointsBelow {
    std::string job;
    std::string stage;
    int64_t step = 0;
  };
  std::vector<PointsBelow> delete_points;  // those of a lower step
  // By (tenant, name), adapters by (tenant, digest).
  std::vector<Owned<v1::Dataset>> put_datasets;
  std::vector<Owned<std::string>> delete_datasets;
  std::vector<Owned<v1::Model>> put_models;
  std::vector<Owned<std::string>> delete_models;
  std::vector<Owned<AdapterRecord>> put_adapters;
  std::vector<Owned<std::string>> delete_adapters;

  bool empty() const;
};

// Everything but events and points.
struct StoreSnapshot {
  Counters counters;
  std::vector<JobRecord> jobs;  // in order of submission
  std::vector<Owned<v1::Dataset>> datasets;
  std::vector<Owned<v1::Model>> models;
  std::vector<Owned<AdapterRecord>> adapters;
};

class JobStore {
 public:
  virtual ~JobStore() = default;
  virtual absl::StatusOr<StoreSnapshot> Load() = 0;
  // All of it or nothing; durable when OK.
  virtual absl::Status Commit(const StoreBatch& batch) = 0;
  // Events of a job with a sequence above `after`, in order.
  virtual absl::StatusOr<std::vector<v1::JobEvent>> ListEvents(absl::string_view job, int64_t after,
                                                               int limit) = 0;
  // Points of a job with a cursor above `after`, in order of cursor; `stage` "" = of every stage.
  virtual absl::StatusOr<std::vector<StoredPoint>> ListPoints(absl::string_view job, absl::string_view stage,
                                                              int64_t after, int limit) = 0;
};

// `into` with the values of `from` added, and its time.
void MergePoint(const v1::MetricPoint& from, v1::MetricPoint& into);

}  // namespace vernier::server
