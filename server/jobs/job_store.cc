#include "server/jobs/job_store.h"

namespace vernier::server {

bool StoreBatch::empty() const {
  return !counters && put_jobs.empty() && delete_jobs.empty() && events.empty() && delete_events.empty() &&
         points.empty() && delete_points.empty() && put_datasets.empty() && delete_datasets.empty() &&
         put_models.empty() && delete_models.empty() && put_adapters.empty() && delete_adapters.empty();
}

void MergePoint(const v1::MetricPoint& from, v1::MetricPoint& into) {
  into.set_stage(from.stage());
  into.set_step(from.step());
  if (from.has_time()) *into.mutable_time() = from.time();
  for (const auto& [name, value] : from.values()) (*into.mutable_values())[name] = value;
}

}  // namespace vernier::server
