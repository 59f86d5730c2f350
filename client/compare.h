// What differs between jobs: pure functions of what they left behind.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "client/results.h"

namespace vernier::client {

// Every leaf of the effective job by its path, as it is written in YAML: "stages.sft.train.batch.rows" ->
// "16". Stages are named by id, other lists by position. The job's own name is no part of it.
std::map<std::string, std::string> FlattenSpec(const v1::JobSpec& spec);

// Paths whose values are not the same in all jobs, sorted, and the value in each; nullopt: not set there.
// Includes what the environment decided: "stages.sft (numeric class).precision".
struct Difference {
  std::string path;
  std::vector<std::optional<std::string>> values;  // one a job
};
std::vector<Difference> CompareSpecs(absl::Span<const v1::Job> jobs);

// A number that several jobs' stages have among their results; nullopt: not there.
struct ComparedMetric {
  std::string stage, metric;
  std::vector<std::optional<double>> values;  // one a job
};
// Stages in the order of the first job that has them; metrics by name. A stage of one job is compared with
// that of the same id; where each job has only one stage of a kind, with that one.
std::vector<ComparedMetric> CompareResults(absl::Span<const v1::Job> jobs);

// Losses and perplexities fall when things get better, all other scores rise.
bool LowerIsBetter(absl::string_view metric);

// Rows that two evaluations judged both.
struct ComparedRow {
  int64_t line = 0;
  const Prediction* before = nullptr;  // of the first one
  const Prediction* after = nullptr;
  double score_before = 0.0, score_after = 0.0;
  double gain = 0.0;  // how much better `after` is; negative: worse
};
struct RowComparison {
  std::string metric;             // the rows are ranked by it
  std::vector<ComparedRow> rows;  // largest gain first; equal ones by line
  int64_t num_better = 0, num_worse = 0, num_equal = 0;
  int64_t num_only_one = 0;  // rows that only one of them judged
  double mean_before = 0.0, mean_after = 0.0;
  std::vector<std::string> metrics;  // that both have
};
// Whether they judged the same rows as far as the jobs say: same dataset, same split.
bool SameRows(const v1::Job& before_job, const Evaluation& before, const v1::Job& after_job,
              const Evaluation& after);
// Joined by the line of the source file; several rows of one line (pieces of a split row) in their order. A
// pair with different references is not the same row. `metric` "": rouge_l, exact_match, loss or the first
// that both have. Nullopt: they have no such metric, or no row, in common. The evaluations must outlive it.
std::optional<RowComparison> CompareRows(const Evaluation& before, const Evaluation& after,
                                         absl::string_view metric);

// Which evaluations to set side by side: with several jobs the same stage of the first and of each other one,
// with one job its first evaluation and each later one. Only those that judged the same rows.
struct EvaluationPair {
  const JobResults* before_job;
  const Evaluation* before;
  const JobResults* after_job;
  const Evaluation* after;
};
std::vector<EvaluationPair> PairEvaluations(absl::Span<const JobResults> jobs);

}  // namespace vernier::client
