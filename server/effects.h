// What the control plane's state machine asks of the world: executed by the edge, in order, each safe to do
// twice.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "vernier/v1/agent_service.pb.h"
#include "vernier/v1/artifact_service.pb.h"
#include "vernier/v1/job.pb.h"

namespace vernier::server {

// An agent's stream, numbered by the edge; a number is never used twice.
using ConnectionId = uint64_t;

struct SendToAgent {
  ConnectionId connection = 0;
  v1::ServerMessage message;
};
// Ends the stream with this status. Unavailable, ResourceExhausted: the agent dials again. FailedPrecondition,
// InvalidArgument: it must not come back like this (another agent took its id; its hello makes no sense).
struct CloseConnection {
  ConnectionId connection = 0;
  absl::Status reason;
};
// The job changed and has new events: those who watch it read ListEvents and GetJob again. Also sent when it
// was deleted.
struct JobChanged {
  std::string job;  // "jobs/ID"
};
// A live event (sequence 0, `progress` set) for those who watch; not stored.
struct JobProgress {
  std::string job;
  v1::JobEvent event;
};
// New metric points: those who follow read ListPoints again.
struct MetricsChanged {
  std::string job;
};
struct GenerateOutput {
  uint64_t generation = 0;
  v1::GenerateResponse response;
};
// The last effect of a generation.
struct GenerateEnded {
  uint64_t generation = 0;
  absl::Status status;
};
// Delete every object whose key starts with `prefix` (it ends with '/'), unless Core::IsLive(prefix) by then.
struct DeleteObjects {
  std::string prefix;
};
// Write all points of the stage so far (ListPoints) as JSON lines to `key`, replacing what is there. Sent
// when an attempt ends. Nothing depends on it: the points stay in the job store as long as the job.
struct WriteMetrics {
  std::string job;
  std::string stage;
  std::string key;
};
// A lease was prepared for a stage that waited `waited` since it became ready: for the scheduler's metrics.
struct GangPlaced {
  std::string policy;
  absl::Duration waited;
};

using Effect = std::variant<SendToAgent, CloseConnection, JobChanged, JobProgress, MetricsChanged,
                            GenerateOutput, GenerateEnded, DeleteObjects, WriteMetrics, GangPlaced>;

}  // namespace vernier::server
