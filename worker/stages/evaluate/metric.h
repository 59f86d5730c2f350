// What `evaluate` measures: each metric judges a row and sums up all rows (registry.cc is the table).
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/objectives/objective.h"

namespace vernier::stages {

// A row with all that metrics may look at.
struct JudgedRow {
  objectives::RowSums sums;  // of the forward pass; zero when no metric needs it
  // Texts without special tokens, stripped of white space at both ends; "" when no metric needs them.
  std::string reference;
  std::string prediction;
};

enum class MetricNeeds {
  kForward,  // JudgedRow::sums
  kText,     // the model's own answer beside the reference
};

struct Metric {
  absl::string_view name;  // as in EvaluateStage.metrics
  MetricNeeds needs;
  double (*of_row)(const JudgedRow&);
  // Rows in data order; at least one.
  double (*of_all)(absl::Span<const JudgedRow>);
};

// InvalidArgument: no metric has this name; lists them.
absl::StatusOr<const Metric*> FindMetric(absl::string_view name);

std::vector<std::string> KnownMetrics();

}  // namespace vernier::stages
