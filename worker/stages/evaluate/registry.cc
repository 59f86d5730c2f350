// The table of metrics: one line each.
#include "common/registry.h"

#include "worker/stages/evaluate/metric.h"
#include "worker/stages/evaluate/text_metrics.h"
#include "worker/stages/evaluate/token_metrics.h"

namespace vernier::stages {
namespace {

constexpr Metric kMetrics[] = {
    {"loss", MetricNeeds::kForward, LossOfRow, LossOfAll},
    {"perplexity", MetricNeeds::kForward, PerplexityOfRow, PerplexityOfAll},
    {"token_accuracy", MetricNeeds::kForward, TokenAccuracyOfRow, TokenAccuracyOfAll},
    {"exact_match", MetricNeeds::kText, ExactMatchOfRow, ExactMatchOfAll},
    {"rouge_l", MetricNeeds::kText, RougeLOfRow, RougeLOfAll},
};

}  // namespace

absl::StatusOr<const Metric*> FindMetric(absl::string_view name) {
  return FindEntry(absl::MakeConstSpan(kMetrics), "metric", name);
}

std::vector<std::string> KnownMetrics() {
  std::vector<std::string> names;
  for (const Metric& metric : kMetrics) names.emplace_back(metric.name);
  return names;
}

}  // namespace vernier::stages
