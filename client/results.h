// Everything that a job left behind, in memory: what `vernier compare`, `report`, `ledger` and `metrics`
// show.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/client.h"
#include "storage/ledger.h"
#include "vernier/v1/artifact.pb.h"
#include "vernier/v1/job.pb.h"

namespace vernier::client {

// A row as an evaluate stage judged it (docs/formats/artifact.md).
struct Prediction {
  int64_t line = 0;
  std::string prompt, reference, prediction;  // "" unless text was generated
  std::map<std::string, double> scores;       // by metric; NaN where the score is not a number
};

struct Evaluation {
  std::string stage;
  std::string split;  // train | validation
  bool has_text = false;
  std::map<std::string, double> metrics;
  std::vector<Prediction> rows;
};

// InvalidArgument, "file line n: what": not the two files of an evaluation artifact.
absl::StatusOr<Evaluation> ParseEvaluation(absl::string_view stage, absl::string_view metrics_json,
                                           absl::string_view predictions_jsonl);

struct LedgerPreview {
  std::string split;
  int64_t row = 0;
  std::string prompt, answer;
};

struct StageLedger {
  std::string stage;
  storage::Ledger ledger;
  std::vector<LedgerPreview> previews;  // none before the stage has ended
};

struct JobResults {
  v1::Job job;
  std::vector<v1::MetricPoint> points;  // by stage in the order of the job's stages, then by step
  std::vector<v1::JobEvent> events;
  std::vector<v1::Artifact> artifacts;
  std::vector<Evaluation> evaluations;  // in the order of the job's stages
};

// `name` is a job's id, unique prefix, or name.
absl::StatusOr<v1::Job> GetJob(Client& client, const std::string& name);
// One point a step, values measured at the same step joined; a step measured again replaces the old one.
// `stage` "" = all.
absl::StatusOr<std::vector<v1::MetricPoint>> GetPoints(Client& client, const std::string& job,
                                                       const std::string& stage);
absl::StatusOr<JobResults> GetResults(Client& client, const std::string& name);

// The ledger of a train stage (`stage` "": the only one), as of its newest checkpoint while it has not ended.
// NotFound: there is none (yet). InvalidArgument: several train stages, named.
absl::StatusOr<StageLedger> GetLedger(Client& client, const v1::Job& job, const std::string& stage);
absl::StatusOr<std::vector<LedgerPreview>> ParsePreviews(absl::string_view jsonl);

// The value that `point` has, if any.
std::optional<double> ValueOf(const v1::MetricPoint& point, const std::string& name);

}  // namespace vernier::client
