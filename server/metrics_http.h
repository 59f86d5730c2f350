// GET /metrics over HTTP, on loopback.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/metrics.h"

namespace prometheus {
class Exposer;
}

namespace vernier::server {

// Serves while it lives.
class MetricsHttp {
 public:
  // `listen` is a loopback address with a port, 0 = any free one; `metrics` is asked at every scrape.
  // FailedPrecondition: it cannot be listened on (port taken).
  static absl::StatusOr<std::unique_ptr<MetricsHttp>> Start(absl::string_view listen,
                                                            const std::shared_ptr<Metrics>& metrics);
  ~MetricsHttp();

  // "127.0.0.1:41234".
  const std::string& endpoint() const { return endpoint_; }

 private:
  MetricsHttp(std::unique_ptr<prometheus::Exposer> exposer, std::string endpoint);

  std::unique_ptr<prometheus::Exposer> exposer_;
  const std::string endpoint_;
};

}  // namespace vernier::server
