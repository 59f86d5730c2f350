// What the agent tells Prometheus. Names: STYLE section 8. Thread-safe.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <memory>
#include <string>

#include "vernier/v1/task.pb.h"

namespace vernier::agent {

class Metrics {
 public:
  Metrics();

  // To be served. Shared with whoever serves it.
  std::shared_ptr<prometheus::Collectable> collectable() const { return registry_; }

  void SetConnected(bool connected) { connected_.Set(connected ? 1 : 0); }
  void SetLeases(size_t num_leases) { leases_.Set(static_cast<double>(num_leases)); }
  void SetFacts(int64_t available_disk_bytes, int64_t resident_bytes);
  void CountStart(const v1::Task& task);
  // From a task's events: how it ended, how long its steps took.
  void Observe(const v1::TaskEvent& event);

 private:
  std::shared_ptr<prometheus::Registry> registry_;
  prometheus::Gauge& connected_;
  prometheus::Gauge& leases_;
  prometheus::Gauge& disk_;
  prometheus::Gauge& resident_;
  prometheus::Family<prometheus::Counter>& started_;
  prometheus::Family<prometheus::Counter>& ended_;
  prometheus::Counter& tokens_;
  prometheus::Histogram& step_seconds_;
};

// "prepare", "train", "evaluate", "generate": the closed set that labels use.
std::string TaskKind(const v1::Task& task);

}  // namespace vernier::agent
