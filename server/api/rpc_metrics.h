// Counts and measures every call that passed authentication:
// vernier_server_rpc_duration_seconds{method,code}.
#pragma once

#include <grpcpp/support/server_interceptor.h>

#include "absl/time/time.h"
#include "common/mutex.h"
#include "server/metrics.h"

namespace vernier::server {

// How many calls are in progress. Thread-safe.
class CallCount {
 public:
  void Begin() VN_EXCLUDES(mutex_);
  void End() VN_EXCLUDES(mutex_);
  // Waits until there is none, or `deadline`.
  void AwaitNone(absl::Time deadline) VN_EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  CondVar none_;
  int64_t count_ VN_GUARDED_BY(mutex_) = 0;
};

// Thread-safe. Both must outlive the server.
class RpcMetricsFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  RpcMetricsFactory(Metrics& metrics, CallCount& calls) : metrics_(metrics), calls_(calls) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(grpc::experimental::ServerRpcInfo* info) override;

 private:
  Metrics& metrics_;
  CallCount& calls_;
};

}  // namespace vernier::server
