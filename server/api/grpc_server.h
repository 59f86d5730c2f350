// vernierd's gRPC face: every service of vernier.v1 plus health and reflection, with authentication, limits
// and metrics.
#pragma once

#include <grpcpp/server.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/api/admin_service.h"
#include "server/api/agent_streams.h"
#include "server/api/artifact_service.h"
#include "server/api/calls.h"
#include "server/api/dataset_service.h"
#include "server/api/edge.h"
#include "server/api/job_service.h"
#include "server/api/model_service.h"
#include "server/api/rpc_metrics.h"
#include "server/metrics.h"

namespace vernier::server {

// Thread-safe once started.
class GrpcServer {
 public:
  struct Options {
    std::string listen;  // a loopback address and port, "127.0.0.1:0" = any free one
    std::string token;
    std::string token_where;  // where callers find the token, for messages
    ModelService::Options models;
    AdminService::Options admin;
  };

  // Listens when it returns. `api`, `edge` and `metrics` must outlive the server.
  // InvalidArgument: not a loopback address. FailedPrecondition: the address cannot be listened on (port
  // taken).
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(Options options, ApiContext& api, Edge& edge,
                                                           Metrics& metrics);
  ~GrpcServer();

  // "127.0.0.1:41234".
  const std::string& endpoint() const { return endpoint_; }
  // What the health service answers: for all of vernierd.
  void SetHealthy(bool healthy);
  // Ends the streams, gives calls in progress until `deadline`, then cancels them and listens no more.
  // Idempotent.
  void Stop(absl::Time deadline);

 private:
  GrpcServer(Options options, ApiContext& api, Edge& edge);

  ApiContext& api_;
  Edge& edge_;
  JobService jobs_;
  DatasetService datasets_;
  ModelService models_;
  ArtifactService artifacts_;
  AdminService admin_;
  AgentService agents_;
  CallCount calls_;
  std::string endpoint_;
  std::unique_ptr<grpc::Server> server_;
  bool stopped_ = false;  // touched by Stop's caller only
};

// Host and port of "127.0.0.1:80", "[::1]:80" or "localhost:80". InvalidArgument: anything else; `flag`
// starts the message, which says that addresses beyond this machine need TLS.
absl::Status CheckLoopback(absl::string_view flag, absl::string_view address);

}  // namespace vernier::server
