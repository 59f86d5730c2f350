#include "server/api/rpc_metrics.h"

#include <grpcpp/support/interceptor.h>

#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "server/api/status.h"

namespace vernier::server {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

// One call. Lives until gRPC forgets the call, so a call that ends without a status is seen too.
class RpcMetrics final : public grpc::experimental::Interceptor {
 public:
  RpcMetrics(Metrics& metrics, CallCount& calls, absl::string_view method)
      : metrics_(metrics), calls_(calls), method_(method) {
    calls_.Begin();
  }
  ~RpcMetrics() override {
    metrics_.RpcDone(method_, CodeName(code_), absl::Now() - start_);
    calls_.End();
  }

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      code_ = methods->GetSendStatus().error_code();
    }
    methods->Proceed();
  }

 private:
  Metrics& metrics_;
  CallCount& calls_;
  const absl::string_view method_;  // lives as long as the server
  const absl::Time start_ = absl::Now();
  grpc::StatusCode code_ = grpc::StatusCode::CANCELLED;
};

}  // namespace

void CallCount::Begin() {
  const MutexLock lock(mutex_);
  ++count_;
}

void CallCount::End() {
  const MutexLock lock(mutex_);
  if (--count_ == 0) none_.NotifyAll();
}

void CallCount::AwaitNone(absl::Time deadline) {
  const MutexLock lock(mutex_);
  while (count_ > 0 && absl::Now() < deadline) none_.WaitUntil(mutex_, deadline);
}

grpc::experimental::Interceptor* RpcMetricsFactory::CreateServerInterceptor(ServerRpcInfo* info) {
  // Only methods of registered services come here, so the set of labels is closed.
  absl::string_view method = info->method();
  absl::ConsumePrefix(&method, "/");
  absl::ConsumePrefix(&method, "vernier.v1.");
  return new RpcMetrics(metrics_, calls_, method);
}

}  // namespace vernier::server
