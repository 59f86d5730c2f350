#include "server/metrics.h"

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"

namespace vernier::server {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Histogram;

// A quick call takes well under a millisecond; an import or a watch takes minutes.
const Histogram::BucketBoundaries kRpcSeconds = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                 0.25,   0.5,   1,      2.5,   10,   60,    600};
// From "a device was free" to a night in the queue.
const Histogram::BucketBoundaries kWaitSeconds = {0.01, 0.1, 1,    5,        15,       60,
                                                  300,  900, 3600, 4 * 3600, 12 * 3600};

// "queued" for JOB_STATE_QUEUED.
std::string StateLabel(v1::JobState state) {
  return absl::AsciiStrToLower(absl::StripPrefix(v1::JobState_Name(state), "JOB_STATE_"));
}

}  // namespace

Metrics::Metrics()
    : rpc_duration_(BuildHistogram()
                        .Name("vernier_server_rpc_duration_seconds")
                        .Help("How long calls took; streams count when they end.")
                        .Register(registry_)),
      jobs_(BuildGauge().Name("vernier_server_jobs").Help("Jobs by state.").Register(registry_)),
      agents_connected_(BuildGauge()
                            .Name("vernier_server_agents_connected")
                            .Help("Agents with an open stream.")
                            .Register(registry_)
                            .Add({})),
      leases_(BuildGauge().Name("vernier_server_leases").Help("Live leases.").Register(registry_).Add({})),
      generations_(BuildGauge()
                       .Name("vernier_server_generations")
                       .Help("Generate calls in progress.")
                       .Register(registry_)
                       .Add({})),
      named_things_(BuildGauge()
                        .Name("vernier_server_named_things")
                        .Help("Datasets, models and imported adapters.")
                        .Register(registry_)),
      waiting_stages_(BuildGauge()
                          .Name("vernier_scheduler_waiting_stages")
                          .Help("Stages that wait for a device.")
                          .Register(registry_)
                          .Add({})),
      gangs_placed_(BuildCounter()
                        .Name("vernier_scheduler_gangs_placed_total")
                        .Help("Gangs that got their devices.")
                        .Register(registry_)),
      queue_wait_(BuildHistogram()
                      .Name("vernier_scheduler_queue_wait_seconds")
                      .Help("From a stage being ready to its lease.")
                      .Register(registry_)
                      .Add({}, kWaitSeconds)),
      transferred_(BuildCounter()
                       .Name("vernier_storage_transferred_bytes_total")
                       .Help("Bytes between this process and the object store.")
                       .Register(registry_)) {
  Update(Core::Stats());  // every label exists from the start
}

std::vector<prometheus::MetricFamily> Metrics::Collect() const {
  if (stats_) {
    if (const std::optional<Core::Stats> stats = stats_()) Update(*stats);
  }
  return registry_.Collect();
}

void Metrics::Update(const Core::Stats& stats) const {
  for (int state = v1::JobState_MIN + 1; state <= v1::JobState_MAX; ++state) {
    const auto found = stats.jobs.find(static_cast<v1::JobState>(state));
    jobs_.Add({{"state", StateLabel(static_cast<v1::JobState>(state))}})
        .Set(found == stats.jobs.end() ? 0 : static_cast<double>(found->second));
  }
  agents_connected_.Set(static_cast<double>(stats.agents_connected));
  leases_.Set(static_cast<double>(stats.leases));
  generations_.Set(static_cast<double>(stats.generations));
  waiting_stages_.Set(static_cast<double>(stats.waiting_stages));
  named_things_.Add({{"kind", "dataset"}}).Set(static_cast<double>(stats.datasets));
  named_things_.Add({{"kind", "model"}}).Set(static_cast<double>(stats.models));
  named_things_.Add({{"kind", "adapter"}}).Set(static_cast<double>(stats.adapters));
}

void Metrics::RpcDone(absl::string_view method, absl::string_view code, absl::Duration duration) {
  rpc_duration_.Add({{"method", std::string(method)}, {"code", std::string(code)}}, kRpcSeconds)
      .Observe(absl::ToDoubleSeconds(duration));
}

void Metrics::GangPlaced(absl::string_view policy, absl::Duration waited) {
  gangs_placed_.Add({{"policy", std::string(policy)}}).Increment();
  queue_wait_.Observe(absl::ToDoubleSeconds(waited));
}

prometheus::Counter& Metrics::TransferredBytes(absl::string_view op, absl::string_view backend) {
  return transferred_.Add({{"op", std::string(op)}, {"backend", std::string(backend)}});
}

}  // namespace vernier::server
