#include "client/results.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status_macros.h"

namespace vernier::client {
namespace {

using Json = nlohmann::json;

constexpr absl::string_view kEvaluation = "evaluation";
// A file of results is held in memory.
constexpr int64_t kMaxResultBytes = int64_t{512} << 20;

// A JSON object, or an error that starts with `where`.
absl::StatusOr<Json> ParseObject(absl::string_view text, absl::string_view where) {
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (json.is_object()) return json;
  return absl::InvalidArgumentError(absl::StrCat(where, ": is no JSON object"));
}

std::string TextOf(const Json& json, const char* member) {
  const auto found = json.find(member);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

int64_t IntegerOf(const Json& json, const char* member) {
  const auto found = json.find(member);
  return found != json.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

std::map<std::string, double> NumbersOf(const Json& json, const char* member) {
  std::map<std::string, double> numbers;
  const auto found = json.find(member);
  if (found == json.end() || !found->is_object()) return numbers;
  for (const auto& [name, value] : found->items()) {
    numbers[name] = value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
  }
  return numbers;
}

// Calls `on_line(number from 1, line)` for every line that is not empty.
template <typename F>
absl::Status ForEachLine(absl::string_view lines, F on_line) {
  int64_t number = 0;
  for (const absl::string_view line : absl::StrSplit(lines, '\n')) {
    ++number;
    if (!line.empty()) VN_RETURN_IF_ERROR(on_line(number, line));
  }
  return absl::OkStatus();
}

int StageIndex(const v1::Job& job, absl::string_view stage) {
  for (int i = 0; i < job.stages_size(); ++i) {
    if (job.stages(i).id() == stage) return i;
  }
  return job.stages_size();
}

}  // namespace

absl::StatusOr<Evaluation> ParseEvaluation(absl::string_view stage, absl::string_view metrics_json,
                                           absl::string_view predictions_jsonl) {
  Evaluation evaluation;
  evaluation.stage = std::string(stage);
  VN_ASSIGN_OR_RETURN(const Json metrics, ParseObject(metrics_json, "metrics.json"));
  evaluation.split = TextOf(metrics, "split");
  evaluation.metrics = NumbersOf(metrics, "metrics");
  VN_RETURN_IF_ERROR(
      ForEachLine(predictions_jsonl, [&](int64_t number, absl::string_view text) -> absl::Status {
        VN_ASSIGN_OR_RETURN(const Json line,
                            ParseObject(text, absl::StrCat("predictions.jsonl line ", number)));
        Prediction& row = evaluation.rows.emplace_back();
        row.line = IntegerOf(line, "line");
        row.prompt = TextOf(line, "prompt");
        row.reference = TextOf(line, "reference");
        row.prediction = TextOf(line, "prediction");
        row.scores = NumbersOf(line, "scores");
        evaluation.has_text = evaluation.has_text || line.contains("prediction");
        return absl::OkStatus();
      }));
  return evaluation;
}

absl::StatusOr<std::vector<LedgerPreview>> ParsePreviews(absl::string_view jsonl) {
  std::vector<LedgerPreview> previews;
  VN_RETURN_IF_ERROR(ForEachLine(jsonl, [&](int64_t number, absl::string_view text) -> absl::Status {
    VN_ASSIGN_OR_RETURN(const Json line, ParseObject(text, absl::StrCat("previews.jsonl line ", number)));
    previews.push_back({.split = TextOf(line, "split"),
                        .row = IntegerOf(line, "row"),
                        .prompt = TextOf(line, "prompt"),
                        .answer = TextOf(line, "answer")});
    return absl::OkStatus();
  }));
  return previews;
}

std::optional<double> ValueOf(const v1::MetricPoint& point, const std::string& name) {
  const auto found = point.values().find(name);
  if (found == point.values().end()) return std::nullopt;
  return found->second;
}

absl::StatusOr<v1::Job> GetJob(Client& client, const std::string& name) {
  v1::GetJobRequest request;
  request.set_name(name);
  VN_ASSIGN_OR_RETURN(v1::GetJobResponse response, client.Call(&v1::JobService::Stub::GetJob, request));
  return std::move(*response.mutable_job());
}

absl::StatusOr<std::vector<v1::MetricPoint>> GetPoints(Client& client, const std::string& job,
                                                       const std::string& stage) {
  v1::StreamMetricsRequest request;
  request.set_name(job);
  request.set_stage(stage);
  std::map<std::pair<std::string, int64_t>, v1::MetricPoint> points;
  VN_RETURN_IF_ERROR(client.StreamMetrics(request, [&](const v1::MetricPoint& point) {
    const auto [it, fresh] = points.try_emplace({point.stage(), point.step()}, point);
    if (!fresh) {
      for (const auto& [name, value] : point.values()) (*it->second.mutable_values())[name] = value;
    }
    return true;
  }));
  std::vector<v1::MetricPoint> sorted;
  for (auto& [key, point] : points) sorted.push_back(std::move(point));
  return sorted;
}

absl::StatusOr<JobResults> GetResults(Client& client, const std::string& name) {
  JobResults results;
  VN_ASSIGN_OR_RETURN(results.job, GetJob(client, name));
  const std::string& job = results.job.name();
  VN_ASSIGN_OR_RETURN(results.points, GetPoints(client, job, ""));
  std::stable_sort(results.points.begin(), results.points.end(),
                   [&](const v1::MetricPoint& a, const v1::MetricPoint& b) {
                     return StageIndex(results.job, a.stage()) < StageIndex(results.job, b.stage());
                   });
  VN_ASSIGN_OR_RETURN(results.events, client.StoredEvents(job));
  v1::ListArtifactsRequest request;
  request.set_job(job);
  VN_ASSIGN_OR_RETURN(const v1::ListArtifactsResponse artifacts,
                      client.Call(&v1::ArtifactService::Stub::ListArtifacts, request));
  results.artifacts.assign(artifacts.artifacts().begin(), artifacts.artifacts().end());
  for (const v1::Artifact& artifact : results.artifacts) {
    if (artifact.name() != kEvaluation) continue;
    const std::string what = absl::StrCat(job, " stage \"", artifact.stage(), "\"");
    VN_ASSIGN_OR_RETURN(const std::string metrics, client.ArtifactFile(job, artifact.stage(), artifact.name(),
                                                                       "metrics.json", kMaxResultBytes));
    VN_ASSIGN_OR_RETURN(const std::string rows, client.ArtifactFile(job, artifact.stage(), artifact.name(),
                                                                    "predictions.jsonl", kMaxResultBytes));
    absl::StatusOr<Evaluation> evaluation = ParseEvaluation(artifact.stage(), metrics, rows);
    if (!evaluation.ok()) return Annotate(evaluation.status(), what);
    results.evaluations.push_back(*std::move(evaluation));
  }
  return results;
}

absl::StatusOr<StageLedger> GetLedger(Client& client, const v1::Job& job, const std::string& stage) {
  std::vector<std::string> trained;
  for (const v1::StageStatus& status : job.stages()) {
    if (status.kind() == "train" && (stage.empty() || status.id() == stage)) trained.push_back(status.id());
  }
  if (trained.empty()) {
    return absl::NotFoundError(absl::StrCat(job.name(), " has no train stage", stage.empty() ? "" : " \"",
                                            stage, stage.empty() ? "" : "\""));
  }
  if (trained.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat(job.name(), " has several train stages (",
                                                   absl::StrJoin(trained, ", "), "); choose with --stage"));
  }
  StageLedger found{.stage = trained[0]};
  VN_ASSIGN_OR_RETURN(const std::string bytes,
                      client.ArtifactFile(job.name(), found.stage, std::string(storage::kLedgerName),
                                          std::string(storage::kLedgerFile), int64_t{4} << 30));
  const std::string what = absl::StrCat(job.name(), " stage \"", found.stage, "\"");
  VN_ASSIGN_OR_RETURN(const storage::SafetensorsFile file, storage::SafetensorsFile::Parse(bytes, what));
  VN_ASSIGN_OR_RETURN(found.ledger, storage::ReadLedger(file, what));
  const absl::StatusOr<std::string> previews =
      client.ArtifactFile(job.name(), found.stage, std::string(storage::kLedgerName),
                          std::string(storage::kLedgerPreviewsFile), kMaxResultBytes);
  if (absl::IsNotFound(previews.status()))
    return found;  // while it trains, or for a model without a tokenizer
  VN_RETURN_IF_ERROR(previews.status());
  VN_ASSIGN_OR_RETURN(found.previews, ParsePreviews(*previews));
  return found;
}

}  // namespace vernier::client
