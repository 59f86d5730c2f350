// GET /metrics over HTTP, in Prometheus' text format.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace prometheus {
class Collectable;
class Exposer;
}  // namespace prometheus

namespace vernier {

// Serves while it lives.
class MetricsHttp {
 public:
  // `listen` is an address with a port, 0 = any free one; `metrics` is asked at every scrape.
  // FailedPrecondition: it cannot be listened on (port taken).
  static absl::StatusOr<std::unique_ptr<MetricsHttp>> Start(
      absl::string_view listen, const std::shared_ptr<prometheus::Collectable>& metrics);
  ~MetricsHttp();

  // "127.0.0.1:41234".
  const std::string& endpoint() const { return endpoint_; }

 private:
  MetricsHttp(std::unique_ptr<prometheus::Exposer> exposer, std::string endpoint);

  std::unique_ptr<prometheus::Exposer> exposer_;
  const std::string endpoint_;
};

}  // namespace vernier
