// The Prometheus metrics of vernierd. Label values are closed sets: no job, dataset or agent is ever a label.
//
//   vernier_server_rpc_duration_seconds{method,code}        histogram; streams count when they end
//   vernier_server_jobs{state}, vernier_server_agents_connected, vernier_server_leases,
//   vernier_server_generations, vernier_server_named_things{kind}     gauges, read from Core when scraped
//   vernier_scheduler_waiting_stages                        gauge
//   vernier_scheduler_gangs_placed_total{policy}            counter
//   vernier_scheduler_queue_wait_seconds                    histogram
//   vernier_storage_transferred_bytes_total{op,backend}     counter; bytes through this process only
#pragma once

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/core.h"

namespace vernier::server {

// Thread-safe, but SetStats comes before the first scrape.
class Metrics final : public prometheus::Collectable {
 public:
  Metrics();

  // `stats` is asked at every scrape; none: the gauges stay as they were.
  void SetStats(std::function<std::optional<Core::Stats>()> stats) { stats_ = std::move(stats); }
  std::vector<prometheus::MetricFamily> Collect() const override;

  // `method`: "JobService/GetJob", from the set that the server registers; `code`: "OK", "NOT_FOUND", ...
  void RpcDone(absl::string_view method, absl::string_view code, absl::Duration duration);
  void GangPlaced(absl::string_view policy, absl::Duration waited);
  // `op`: "read" or "write"; `backend`: scheme of the store's URI.
  prometheus::Counter& TransferredBytes(absl::string_view op, absl::string_view backend);

 private:
  void Update(const Core::Stats& stats) const;

  mutable prometheus::Registry registry_;
  std::function<std::optional<Core::Stats>()> stats_;
  prometheus::Family<prometheus::Histogram>& rpc_duration_;
  prometheus::Family<prometheus::Gauge>& jobs_;
  prometheus::Gauge& agents_connected_;
  prometheus::Gauge& leases_;
  prometheus::Gauge& generations_;
  prometheus::Family<prometheus::Gauge>& named_things_;
  prometheus::Gauge& waiting_stages_;
  prometheus::Family<prometheus::Counter>& gangs_placed_;
  prometheus::Histogram& queue_wait_;
  prometheus::Family<prometheus::Counter>& transferred_;
};

}  // namespace vernier::server
