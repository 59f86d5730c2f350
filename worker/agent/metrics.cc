#include "worker/agent/metrics.h"

namespace vernier::agent {
namespace {

prometheus::Gauge& MakeGauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

double ValueOf(const v1::MetricPoint& point, const std::string& name) {
  const auto it = point.values().find(name);
  return it == point.values().end() ? 0 : it->second;
}

}  // namespace

std::string TaskKind(const v1::Task& task) {
  switch (task.work_case()) {
    case v1::Task::kPrepare:
      return "prepare";
    case v1::Task::kTrain:
      return "train";
    case v1::Task::kEvaluate:
      return "evaluate";
    case v1::Task::kGenerate:
      return "generate";
    case v1::Task::kExport:
      return "export";
    case v1::Task::WORK_NOT_SET:
      break;
  }
  return "unknown";
}

Metrics::Metrics()
    : registry_(std::make_shared<prometheus::Registry>()),
      connected_(MakeGauge(*registry_, "vernier_agent_connected", "1 while the stream to vernierd is up.")),
      leases_(MakeGauge(*registry_, "vernier_agent_leases", "Leases held.")),
      disk_(MakeGauge(*registry_, "vernier_agent_available_disk_bytes", "Space left in the data dir.")),
      resident_(
          MakeGauge(*registry_, "vernier_agent_resident_memory_bytes", "Resident memory of the agent.")),
      started_(prometheus::BuildCounter()
                   .Name("vernier_agent_tasks_started_total")
                   .Help("Tasks started, by kind.")
                   .Register(*registry_)),
      ended_(prometheus::BuildCounter()
                 .Name("vernier_agent_tasks_ended_total")
                 .Help("Tasks ended, by outcome: ok, stopped, failed, killed.")
                 .Register(*registry_)),
      tokens_(prometheus::BuildCounter()
                  .Name("vernier_trainer_tokens_total")
                  .Help("Real tokens trained on by this agent's trainers.")
                  .Register(*registry_)
                  .Add({})),
      step_seconds_(prometheus::BuildHistogram()
                        .Name("vernier_trainer_step_duration_seconds")
                        .Help("Time of optimiser steps.")
                        .Register(*registry_)
                        .Add({{"phase", "step"}}, prometheus::Histogram::BucketBoundaries{
                                                      0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300})) {}

void Metrics::SetFacts(int64_t available_disk_bytes, int64_t resident_bytes) {
  disk_.Set(static_cast<double>(available_disk_bytes));
  resident_.Set(static_cast<double>(resident_bytes));
}

void Metrics::CountStart(const v1::Task& task) { started_.Add({{"kind", TaskKind(task)}}).Increment(); }

void Metrics::Observe(const v1::TaskEvent& event) {
  if (event.has_metric()) {
    const double seconds = ValueOf(event.metric(), "step_seconds");
    if (seconds > 0) {
      step_seconds_.Observe(seconds);
      tokens_.Increment(seconds * ValueOf(event.metric(), "tokens_per_second"));
    }
  }
  if (event.has_finished()) {
    const v1::TaskFinished& finished = event.finished();
    const char* const outcome = finished.stopped()                                   ? "stopped"
                                : finished.cause() == v1::TaskFinished::CAUSE_KILLED ? "killed"
                                : finished.code() == 0                               ? "ok"
                                                                                     : "failed";
    ended_.Add({{"outcome", outcome}}).Increment();
  }
}

}  // namespace vernier::agent
