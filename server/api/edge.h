// Carries out what Core asks for. The strand calls Execute for every effect.
#pragma once

#include "absl/status/status.h"
#include "server/api/agent_streams.h"
#include "server/api/deletions.h"
#include "server/api/generate_streams.h"
#include "server/api/job_streams.h"
#include "server/core.h"
#include "server/metrics.h"
#include "server/strand.h"
#include "server/worker_pool.h"
#include "storage/object_store.h"

namespace vernier::server {

// Thread-compatible: the strand's thread only, once there is a strand.
class Edge {
 public:
  // All must outlive the edge, which must outlive the strand.
  Edge(storage::ObjectStore& store, Deletions& deletions, WorkerPool& pool, Metrics& metrics)
      : store_(store), deletions_(deletions), pool_(pool), metrics_(metrics) {}

  void Execute(Strand& strand, Core& core, Effect& effect);

  JobStreams& job_streams() { return job_streams_; }
  AgentStreams& agent_streams() { return agent_streams_; }
  GenerateStreams& generate_streams() { return generate_streams_; }
  // Ends every stream, for a server that stops.
  void EndStreams(const absl::Status& status);

 private:
  void Delete(Core& core, const DeleteObjects& effect);
  void Write(Strand& strand, const WriteMetrics& effect);

  storage::ObjectStore& store_;
  Deletions& deletions_;
  WorkerPool& pool_;
  Metrics& metrics_;
  JobStreams job_streams_;
  AgentStreams agent_streams_;
  GenerateStreams generate_streams_;
};

}  // namespace vernier::server
