// All of vernierd but its data directory, flags and signals: stores, Core on its strand, workers, and the
// gRPC face.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "server/api/calls.h"
#include "server/api/deletions.h"
#include "server/api/edge.h"
#include "server/api/grpc_server.h"
#include "server/core.h"
#include "server/jobs/job_store.h"
#include "server/metrics.h"
#include "server/strand.h"
#include "server/worker_pool.h"
#include "storage/object_store.h"

namespace vernier::server {

// Thread-compatible; what it runs is not its owner's concern.
class ControlPlane {
 public:
  struct Options {
    Core::Options core;  // store_uri is filled in
    GrpcServer::Options grpc;
    WorkerPool::Options workers;
    std::string spool_dir;
    int64_t max_upload_bytes = int64_t{16} << 30;
    int64_t always_read_bytes = int64_t{64} << 20;  // as ApiContext has it: a fraction of a second
  };

  // Serves when it returns. `clock` must outlive it; `metrics` is shared with whoever shows them.
  // The errors of Core::Create and GrpcServer::Start.
  static absl::StatusOr<std::unique_ptr<ControlPlane>> Start(Options options, std::unique_ptr<JobStore> jobs,
                                                             std::unique_ptr<storage::ObjectStore> objects,
                                                             std::shared_ptr<Metrics> metrics, Clock& clock);
  ~ControlPlane();  // Stop, then waits for workers however long they take

  const std::string& endpoint() const { return server_->endpoint(); }
  // Takes no new calls, ends streams and calls, then the workers and Core; all within about `grace`.
  // Everything answered so far is stored. False: a worker (an import) still runs, and the destructor would
  // wait for it.
  bool Stop(absl::Duration grace);

 private:
  ControlPlane(Options& options, std::unique_ptr<JobStore> jobs,
               std::unique_ptr<storage::ObjectStore> objects, std::shared_ptr<Metrics> metrics);

  // In the order in which they need each other.
  const std::shared_ptr<Metrics> metrics_;
  const std::unique_ptr<JobStore> jobs_;
  const std::unique_ptr<storage::ObjectStore> objects_;
  Deletions deletions_;
  WorkerPool pool_;
  WorkerPool sweeper_{
      {.num_threads = 1, .max_queued = 10'000}};  // uploads may wait for deletions, so these are apart
  Edge edge_;
  bool healthy_ = true;                  // the strand's thread only, as is:
  GrpcServer* health_server_ = nullptr;  // set once there is one
  std::unique_ptr<Strand> strand_;
  std::unique_ptr<ApiContext> api_;
  std::unique_ptr<GrpcServer> server_;
};

}  // namespace vernier::server
