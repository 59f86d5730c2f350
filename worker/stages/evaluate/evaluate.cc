#include "worker/stages/evaluate/evaluate.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/philox.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/text/decode_stream.h"
#include "worker/models/torch.h"
#include "worker/stages/answer.h"
#include "worker/stages/artifact.h"
#include "worker/stages/evaluate/metric.h"
#include "worker/stages/forward_rows.h"
#include "worker/stages/inputs.h"
#include "worker/stages/progress_reporter.h"
#include "worker/stages/start.h"
#include "worker/trainer/torch_call.h"

namespace vernier::stages {
namespace {

// Keeps the draws of rows apart from every other use of the seed.
constexpr uint64_t kRowTag = 0x6a756467;  // "judg"

// One evaluation, from loading to judged rows.
class Evaluation {
 public:
  explicit Evaluation(const StageContext& context)
      : context_(context), task_(context.task.evaluate()), progress_(context.events) {}

  absl::Status Load();
  // Cancelled: a stop was requested.
  absl::Status Judge();
  absl::StatusOr<v1::Artifact> Publish(trainer::TaskOutcome& outcome);

 private:
  bool Needs(MetricNeeds needs) const {
    return std::any_of(metrics_.begin(), metrics_.end(), [&](const Metric* m) { return m->needs == needs; });
  }
  bool Tell(absl::string_view phase, int64_t rows);
  absl::Status JudgeByForward();
  absl::Status JudgeByText();
  std::string PredictionLine(int64_t row) const;
  nlohmann::json MetricsJson() const;
  const models::Overlay& overlay() const { return adapter_.tuning != nullptr ? *adapter_.tuning : bare_; }

  const StageContext& context_;
  const v1::EvaluateTask& task_;
  ProgressReporter progress_;
  Stopwatch phase_time_;
  double judge_seconds_ = 0.0;
  std::vector<const Metric*> metrics_;
  AnswerOptions decoding_;
  std::string numeric_class_;
  std::unique_ptr<BaseModel> base_;
  std::unique_ptr<data::Tokenizer> tokenizer_;
  models::Overlay bare_;
  Adapter adapter_;
  std::unique_ptr<data::PreparedRows> rows_;
  std::vector<JudgedRow> judged_;
  int64_t rows_without_room_ = 0;
};

absl::Status Evaluation::Load() {
  const v1::EvaluateStage& stage = task_.stage();
  for (const std::string& name : stage.metrics()) {
    absl::StatusOr<const Metric*> metric = FindMetric(name);
    if (!metric.ok()) return Annotate(metric.status(), "metrics");
    if (std::find(metrics_.begin(), metrics_.end(), *metric) == metrics_.end()) metrics_.push_back(*metric);
  }
  if (metrics_.empty()) {
    for (const char* name : {"loss", "token_accuracy"}) {
      VN_ASSIGN_OR_RETURN(metrics_.emplace_back(), FindMetric(name));
    }
  }
  VN_ASSIGN_OR_RETURN(decoding_, ReadDecoding(stage.decoding(), context_.task.seed()));
  const trainer::PrecisionChoice precision = ReportStart(context_, stage.precision());
  numeric_class_ = NumericClassOf(precision.dtype).ToString();
  Tell("loading", 0);
  VN_ASSIGN_OR_RETURN(BaseModel base, LoadBaseModel(context_.store, task_.model_key(), precision.dtype));
  base_ = std::make_unique<BaseModel>(std::move(base));
  VN_ASSIGN_OR_RETURN(tokenizer_, LoadTokenizer(*base_));
  if (!task_.adapter_key().empty()) {
    VN_ASSIGN_OR_RETURN(adapter_, LoadAdapterStack(context_.store, task_.adapter_key(), *base_->model));
    if (!adapter_.base_digest.empty() && adapter_.base_digest != base_->digest) {
      context_.events.ReportLog("warning",
                                absl::StrCat("adapter ", task_.adapter_key(), " was trained on base ",
                                             adapter_.base_digest, ", it is judged on ", base_->digest));
    }
  }
  const data::Split split = task_.use_validation() ? data::Split::kValidation : data::Split::kTrain;
  VN_ASSIGN_OR_RETURN(data::PreparedRows rows,
                      OpenRows(context_.store, task_.prepared_key(), split, base_->model->config()));
  rows_ = std::make_unique<data::PreparedRows>(std::move(rows));
  int64_t num_rows = rows_->num_rows();
  if (stage.has_max_rows()) num_rows = std::min(num_rows, stage.max_rows());
  if (num_rows < 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("data: there is no ", task_.use_validation() ? "validation " : "", "row to judge"));
  }
  judged_.resize(num_rows);
  return absl::OkStatus();
}

bool Evaluation::Tell(absl::string_view phase, int64_t rows) {
  v1::Progress progress;
  progress.set_phase(std::string(phase));
  progress.set_rows(rows);
  progress.set_total_rows(static_cast<int64_t>(judged_.size()));
  const double seconds = phase_time_.Seconds();
  if (rows > 0) {
    progress.set_eta_seconds(seconds * static_cast<double>(progress.total_rows() - rows) /
                             static_cast<double>(rows));
  }
  progress_.Report(progress);
  return !context_.events.stop_requested();
}

absl::Status Evaluation::JudgeByForward() {
  phase_time_ = Stopwatch();
  v1::Objective spec;
  spec.mutable_causal_lm();
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<objectives::Objective> objective,
                      objectives::CreateObjective(spec));
  const auto forward = [&](const objectives::LabelledBatch& batch) {
    return trainer::TorchCall("forward", [&]() -> absl::StatusOr<std::vector<objectives::RowSums>> {
      const at::NoGradGuard no_grad;
      return objective->Compute(*base_->model, overlay(), batch, 1.0).rows;
    });
  };
  VN_ASSIGN_OR_RETURN(const std::vector<objectives::RowSums> sums,
                      ForwardRows(*rows_, static_cast<int64_t>(judged_.size()), {}, forward,
                                  [&](int64_t rows) { return Tell("judging", rows); }));
  for (size_t row = 0; row < judged_.size(); ++row) judged_[row].sums = sums[row];
  return absl::OkStatus();
}

absl::Status Evaluation::JudgeByText() {
  phase_time_ = Stopwatch();
  const uint64_t seed = decoding_.generate.seed;
  for (int64_t row = 0; row < static_cast<int64_t>(judged_.size()); ++row) {
    if (!Tell("generating", row)) return absl::CancelledError("stopped");
    const absl::Span<const int32_t> ids = rows_->ids(row);
    const int64_t prompt_length = rows_->prompt_length(row);
    if (prompt_length >= base_->model->config().max_positions) ++rows_without_room_;
    decoding_.generate.seed = DeriveSeed(seed, kRowTag, row);
    VN_ASSIGN_OR_RETURN(
        const Answer answer,
        GenerateAnswer(*base_->model, overlay(), *tokenizer_, ids.first(prompt_length), decoding_,
                       [&](absl::string_view) { return !context_.events.stop_requested(); }));
    judged_[row].prediction = std::string(absl::StripAsciiWhitespace(answer.text));
    judged_[row].reference = std::string(absl::StripAsciiWhitespace(
        data::DecodeText(*tokenizer_, ids.subspan(prompt_length), /*skip_special=*/true)));
  }
  decoding_.generate.seed = seed;
  if (!Tell("generating", static_cast<int64_t>(judged_.size()))) return absl::CancelledError("stopped");
  if (rows_without_room_ > 0) {
    context_.events.ReportLog(
        "warning", absl::StrCat(Counted(rows_without_room_, "row"),
                                rows_without_room_ == 1 ? " has a prompt" : " have prompts",
                                " too long for the context of ", base_->model->config().max_positions,
                                " tokens, and count with an empty prediction"));
  }
  return absl::OkStatus();
}

absl::Status Evaluation::Judge() {
  const Stopwatch all;
  if (Needs(MetricNeeds::kForward)) VN_RETURN_IF_ERROR(JudgeByForward());
  if (Needs(MetricNeeds::kText)) VN_RETURN_IF_ERROR(JudgeByText());
  judge_seconds_ = all.Seconds();
  return absl::OkStatus();
}

std::string Evaluation::PredictionLine(int64_t row) const {
  const JudgedRow& judged = judged_[row];
  nlohmann::ordered_json line;
  line["line"] = rows_->line(row);
  if (Needs(MetricNeeds::kText)) {
    line["prompt"] = data::DecodeText(*tokenizer_, rows_->ids(row).first(rows_->prompt_length(row)),
                                      /*skip_special=*/false);
    line["reference"] = judged.reference;
    line["prediction"] = judged.prediction;
  }
  for (const Metric* metric : metrics_) line["scores"][std::string(metric->name)] = metric->of_row(judged);
  return line.dump() + "\n";
}

nlohmann::json Evaluation::MetricsJson() const {
  nlohmann::json metrics = nlohmann::json::object();
  for (const Metric* metric : metrics_) metrics[std::string(metric->name)] = metric->of_all(judged_);
  nlohmann::json json = {{"rows", judged_.size()},
                         {"split", task_.use_validation() ? "validation" : "train"},
                         {"metrics", std::move(metrics)}};
  if (Needs(MetricNeeds::kText)) {
    const models::GenerateOptions& generate = decoding_.generate;
    json["decoding"] = {{"max_new_tokens", generate.max_new_tokens},
                        {"temperature", generate.temperature},
                        {"top_p", generate.top_p},
                        {"top_k", generate.top_k},
                        {"seed", generate.seed},
                        {"stop", decoding_.stops}};
  }
  return json;
}

absl::StatusOr<v1::Artifact> Evaluation::Publish(trainer::TaskOutcome& outcome) {
  ArtifactWriter writer(context_.store, context_.task, task_.output_key(), kEvaluationKind);
  constexpr absl::string_view kPredictions = "predictions.jsonl";
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<storage::ObjectWriter> predictions,
                      writer.OpenWriter(kPredictions));
  for (int64_t row = 0; row < static_cast<int64_t>(judged_.size()); ++row) {
    VN_RETURN_IF_ERROR(predictions->Append(PredictionLine(row)));
  }
  VN_ASSIGN_OR_RETURN(const storage::ByteDigest digest, predictions->Finish());
  writer.AddWritten(kPredictions, digest);
  const nlohmann::json metrics = MetricsJson();
  VN_RETURN_IF_ERROR(writer.AddBytes("metrics.json", metrics.dump(1) + "\n"));
  for (const auto& [name, value] : metrics["metrics"].items()) outcome.results[name] = value.get<double>();
  outcome.results["rows"] = static_cast<double>(judged_.size());
  outcome.results["seconds"] = judge_seconds_;
  if (rows_without_room_ > 0) outcome.results["rows_without_room"] = static_cast<double>(rows_without_room_);
  return writer.Commit({{"base_digest", base_->digest},
                        {"base_key", base_->key},
                        {"adapter_key", task_.adapter_key()},
                        {"prepared_key", task_.prepared_key()},
                        {"numeric_class", numeric_class_}});
}

}  // namespace

absl::Status RunEvaluate(const StageContext& context, trainer::TaskOutcome& outcome) {
  Evaluation evaluation(context);
  VN_RETURN_IF_ERROR(evaluation.Load());
  const absl::Status judged = evaluation.Judge();
  if (absl::IsCancelled(judged)) {
    outcome.stopped = true;
    return absl::OkStatus();
  }
  VN_RETURN_IF_ERROR(judged);
  VN_ASSIGN_OR_RETURN(v1::Artifact artifact, evaluation.Publish(outcome));
  v1::TaskEvent event;
  *event.mutable_artifact() = std::move(artifact);
  context.events.Report(std::move(event));
  return absl::OkStatus();
}

}  // namespace vernier::stages
