// vernier compare: what differs between jobs, and what came of it.
#include "client/compare.h"

#include <cmath>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/cli.h"
#include "client/cli/line_chart.h"
#include "client/cli/terminal.h"
#include "client/results.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::cli {
namespace {

using Json = nlohmann::ordered_json;
using client::JobResults;

constexpr size_t kMaxJobs = 6;  // letters and colours stay apart
constexpr int kChartHeight = 17;

struct CompareOptions {
  std::vector<std::string> jobs;
  int rows = 5;
  std::string by;
  bool all_results = false;
};

std::string Letter(size_t job) { return std::string(1, static_cast<char>('A' + job)); }

// Counts are written out.
bool IsLarge(double value) { return std::abs(value) >= 1e5 && std::abs(value) < 1e15; }
std::string ScoreText(double value) {
  return IsLarge(value) ? absl::StrFormat("%.0f", value) : absl::StrFormat("%.5g", value);
}
std::string Signed(double value) {
  return IsLarge(value) ? absl::StrFormat("%+.0f", value) : absl::StrFormat("%+.5g", value);
}

std::vector<v1::Job> JobsOf(const std::vector<JobResults>& results) {
  std::vector<v1::Job> jobs;
  for (const JobResults& one : results) jobs.push_back(one.job);
  return jobs;
}

// --- Curves.

std::vector<std::pair<double, double>> PointsOf(const JobResults& job, const std::string& stage,
                                                const std::string& metric) {
  std::vector<std::pair<double, double>> points;
  for (const v1::MetricPoint& point : job.points) {
    if (point.stage() != stage) continue;
    if (const auto value = client::ValueOf(point, metric)) {
      points.emplace_back(static_cast<double>(point.step()), *value);
    }
  }
  return points;
}

std::vector<std::string> TrainStages(const v1::Job& job) {
  std::vector<std::string> stages;
  for (const v1::StageStatus& stage : job.stages()) {
    if (stage.kind() == "train") stages.push_back(stage.id());
  }
  return stages;
}

std::vector<Curve> LossCurves(const std::vector<JobResults>& results) {
  static constexpr const char* kHollow[] = {"\u25cb", "\u25a1", "\u25b3", "\u25c7", "\u2606", "\u25bd"};
  static constexpr const char* kFilled[] = {"\u25cf", "\u25a0", "\u25b2", "\u25c6", "\u2605", "\u25bc"};
  static_assert(std::size(kHollow) == kMaxJobs && std::size(kFilled) == kMaxJobs);
  std::vector<Curve> curves;
  for (size_t i = 0; i < results.size(); ++i) {
    const std::vector<std::string> stages = TrainStages(results[i].job);
    for (const std::string& stage : stages) {
      const std::string name =
          absl::StrCat(Letter(i), stages.size() > 1 ? absl::StrCat(" ", stage) : std::string());
      curves.push_back({.name = absl::StrCat(name, " train loss"),
                        .points = PointsOf(results[i], stage, "train_loss"),
                        .colour = static_cast<int>(i),
                        .mark = static_cast<char>('a' + i),
                        .symbol = kHollow[i]});
      curves.push_back({.name = absl::StrCat(name, " validation loss"),
                        .points = PointsOf(results[i], stage, "valid_loss"),
                        .colour = static_cast<int>(i),
                        .mark = static_cast<char>('A' + i),
                        .symbol = kFilled[i],
                        .sparse = true});
    }
  }
  return curves;
}

// --- Text.

void Heading(absl::string_view text, const Terminal& terminal) {
  std::cout << "\n"
            << (terminal.colour ? "\033[1m" : "") << text << (terminal.colour ? "\033[0m" : "") << "\n";
}

void PrintJobs(const std::vector<JobResults>& results, const Terminal& terminal) {
  std::vector<std::vector<std::string>> rows = {{"", "JOB", "STATE", "CREATED", "NAME"}};
  for (size_t i = 0; i < results.size(); ++i) {
    const v1::Job& job = results[i].job;
    rows.push_back({Letter(i), ShortId(job.name()), StateName(job.state()), HumanTime(job.create_time()),
                    job.spec().name()});
  }
  std::cout << AlignedTable(rows, {}, terminal);
}

void PrintDifferences(const std::vector<JobResults>& results, bool all, const Terminal& terminal) {
  if (results.size() < 2) return;
  Heading("What differs", terminal);
  std::vector<client::Difference> differences = client::CompareSpecs(JobsOf(results));
  // The moment of submission: it differs between any two jobs, and few templates look at it.
  std::erase_if(differences, [all](const client::Difference& difference) {
    return !all && absl::EndsWith(difference.path, ".template_time");
  });
  if (differences.empty()) {
    std::cout << "nothing: the effective jobs are the same\n";
    return;
  }
  std::vector<std::vector<std::string>> rows = {{"FIELD"}};
  for (size_t i = 0; i < results.size(); ++i) rows[0].push_back(Letter(i));
  const int each = std::max(12, (terminal.width - 40) / static_cast<int>(results.size()));
  for (const client::Difference& difference : differences) {
    std::vector<std::string>& row = rows.emplace_back(std::vector<std::string>{difference.path});
    for (const auto& value : difference.values) {
      row.push_back(value ? FitLine(*value, each, terminal.unicode) : "-");
    }
  }
  std::cout << AlignedTable(rows, {}, terminal);
}

void PrintCurves(const std::vector<JobResults>& results, const Terminal& terminal) {
  const std::string chart = LineChart(LossCurves(results), kChartHeight, terminal);
  if (chart.empty()) return;
  Heading("Loss per trained token", terminal);
  std::cout << chart;
}

// What people compare first; the rest with --all.
bool IsMain(absl::string_view metric) {
  for (const char* const name :
       {"valid_loss", "valid_token_accuracy", "train_loss", "steps", "tokens", "train_seconds",
        "tokens_per_second", "best_step", "loss", "perplexity", "token_accuracy", "exact_match", "rouge_l"}) {
    if (metric == name) return true;
  }
  return false;
}

void PrintResults(const std::vector<JobResults>& results, bool all, const Terminal& terminal) {
  const std::vector<client::ComparedMetric> metrics = client::CompareResults(JobsOf(results));
  std::vector<std::vector<std::string>> rows = {{"STAGE", "RESULT"}};
  std::vector<int> right;
  for (size_t i = 0; i < results.size(); ++i) {
    rows[0].push_back(Letter(i));
    if (i > 0) rows[0].push_back(absl::StrCat(Letter(i), " - A"));
  }
  for (int i = 2; i < static_cast<int>(rows[0].size()); ++i) right.push_back(i);
  for (const client::ComparedMetric& metric : metrics) {
    if (!all && !IsMain(metric.metric)) continue;
    std::vector<std::string>& row = rows.emplace_back(std::vector<std::string>{metric.stage, metric.metric});
    for (size_t i = 0; i < metric.values.size(); ++i) {
      row.push_back(metric.values[i] ? ScoreText(*metric.values[i]) : "-");
      if (i == 0) continue;
      const bool both = metric.values[0] && metric.values[i];
      row.push_back(both ? Signed(*metric.values[i] - *metric.values[0]) : "-");
    }
  }
  if (rows.size() < 2) return;
  Heading("Results", terminal);
  std::cout << AlignedTable(rows, right, terminal);
  if (!all) std::cout << "--all shows every result\n";
}

// "A after" with several jobs, "after" with one.
std::string NameOf(const std::vector<JobResults>& results, const JobResults* job,
                   const client::Evaluation& evaluation) {
  if (results.size() == 1) return evaluation.stage;
  return absl::StrCat(Letter(job - results.data()), " ", evaluation.stage);
}

void PrintRow(const client::ComparedRow& row, const std::string& before, const std::string& after,
              bool has_text, const Terminal& terminal) {
  std::cout << "  line " << row.line << "  " << ScoreText(row.score_before) << " -> "
            << ScoreText(row.score_after) << "\n";
  if (!has_text) return;
  const std::pair<std::string, absl::string_view> texts[] = {
      {"reference", row.before->reference}, {before, row.before->prediction}, {after, row.after->prediction}};
  for (const auto& [name, text] : texts) {
    std::cout << absl::StrFormat("    %-11s", name) << FitLine(text, terminal.width - 15, terminal.unicode)
              << "\n";
  }
}

void PrintRows(const std::vector<JobResults>& results, const client::EvaluationPair& pair,
               const client::RowComparison& compared, int count, const Terminal& terminal) {
  const std::string before = NameOf(results, pair.before_job, *pair.before);
  const std::string after = NameOf(results, pair.after_job, *pair.after);
  Heading(
      absl::StrCat("Row by row: ", before, " -> ", after, ", ", compared.rows.size(), " ", pair.after->split,
                   " ", Noun(static_cast<int64_t>(compared.rows.size()), "row"), ", by ", compared.metric,
                   client::LowerIsBetter(compared.metric) ? " (lower is better)" : ""),
      terminal);
  std::cout << "mean " << ScoreText(compared.mean_before) << " -> " << ScoreText(compared.mean_after) << " ("
            << Signed(compared.mean_after - compared.mean_before) << "); better on " << compared.num_better
            << ", worse on " << compared.num_worse << ", equal on " << Counted(compared.num_equal, "row")
            << "\n";
  if (compared.num_only_one > 0)
    std::cout << "judged by one of them alone: " << Counted(compared.num_only_one, "row") << "\n";
  const bool has_text = pair.before->has_text && pair.after->has_text;
  const auto show = [&](bool gains, absl::string_view title) {
    int shown = 0;
    for (size_t i = 0; i < compared.rows.size() && shown < count; ++i) {
      const client::ComparedRow& row = compared.rows[gains ? i : compared.rows.size() - 1 - i];
      if (gains ? !(row.gain > 0) : !(row.gain < 0)) break;
      if (shown++ == 0) std::cout << title << "\n";
      PrintRow(row, before, after, has_text, terminal);
    }
  };
  show(true, "largest gains");
  show(false, "largest losses");
}

// --- JSON.

Json OrNull(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json CurvesJson(const JobResults& job) {
  Json curves = Json::object();
  for (const std::string& stage : TrainStages(job.job)) {
    for (const char* const metric : {"train_loss", "valid_loss"}) {
      Json& points = curves[stage][metric] = Json::array();
      for (const auto& [step, value] : PointsOf(job, stage, metric)) {
        points.push_back({static_cast<int64_t>(step), OrNull(value)});
      }
    }
  }
  return curves;
}

Json RowJson(const client::ComparedRow& row, bool has_text) {
  Json json = {{"line", row.line},
               {"score_before", OrNull(row.score_before)},
               {"score_after", OrNull(row.score_after)},
               {"gain", OrNull(row.gain)}};
  if (has_text) {
    json["reference"] = row.before->reference;
    json["prediction_before"] = row.before->prediction;
    json["prediction_after"] = row.after->prediction;
  }
  return json;
}

template <typename T>
Json ListOf(const std::vector<std::optional<T>>& values) {
  Json list = Json::array();
  for (const auto& value : values) {
    if constexpr (std::is_same_v<T, double>) {
      list.push_back(value ? OrNull(*value) : Json(nullptr));
    } else {
      list.push_back(value ? Json(*value) : Json(nullptr));
    }
  }
  return list;
}

Json PairJson(const client::EvaluationPair& pair, const client::RowComparison& compared) {
  const bool has_text = pair.before->has_text && pair.after->has_text;
  Json json = {{"before", {{"job", pair.before_job->job.name()}, {"stage", pair.before->stage}}},
               {"after", {{"job", pair.after_job->job.name()}, {"stage", pair.after->stage}}},
               {"metric", compared.metric},
               {"mean_before", OrNull(compared.mean_before)},
               {"mean_after", OrNull(compared.mean_after)},
               {"better", compared.num_better},
               {"worse", compared.num_worse},
               {"equal", compared.num_equal},
               {"only_one", compared.num_only_one}};
  json["rows"] = Json::array();
  for (const client::ComparedRow& row : compared.rows) json["rows"].push_back(RowJson(row, has_text));
  return json;
}

Json ToJson(const std::vector<JobResults>& results, const std::string& by) {
  Json json = {{"jobs", Json::array()},
               {"differences", Json::array()},
               {"results", Json::array()},
               {"rows", Json::array()}};
  for (const JobResults& one : results) {
    json["jobs"].push_back({{"name", one.job.name()},
                            {"title", one.job.spec().name()},
                            {"state", StateName(one.job.state())},
                            {"curves", CurvesJson(one)}});
  }
  for (const client::Difference& difference : client::CompareSpecs(JobsOf(results))) {
    json["differences"].push_back({{"path", difference.path}, {"values", ListOf(difference.values)}});
  }
  for (const client::ComparedMetric& metric : client::CompareResults(JobsOf(results))) {
    json["results"].push_back(
        {{"stage", metric.stage}, {"metric", metric.metric}, {"values", ListOf(metric.values)}});
  }
  for (const client::EvaluationPair& pair : client::PairEvaluations(results)) {
    const auto compared = client::CompareRows(*pair.before, *pair.after, by);
    if (compared) json["rows"].push_back(PairJson(pair, *compared));
  }
  return json;
}

absl::Status Compare(Cli& cli, const CompareOptions& options) {
  if (options.jobs.size() > kMaxJobs) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.jobs.size(), " jobs are too many to tell apart; name at most ", kMaxJobs));
  }
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  std::vector<JobResults> results;
  for (const std::string& job : options.jobs) {
    VN_ASSIGN_OR_RETURN(results.emplace_back(), client::GetResults(*client, job));
  }
  if (cli.json()) {
    std::cout << ToJson(results, options.by).dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
    return absl::OkStatus();
  }
  const Terminal terminal = DetectTerminal();
  PrintJobs(results, terminal);
  PrintDifferences(results, options.all_results, terminal);
  PrintCurves(results, terminal);
  PrintResults(results, options.all_results, terminal);
  for (const client::EvaluationPair& pair : client::PairEvaluations(results)) {
    const auto compared = client::CompareRows(*pair.before, *pair.after, options.by);
    if (compared) PrintRows(results, pair, *compared, options.rows, terminal);
  }
  return absl::OkStatus();
}

}  // namespace

void AddCompareCommand(CLI::App& app, Cli& cli) {
  CLI::App* const command = app.add_subcommand(
      "compare", "What differs between jobs: fields, curves, results, and the same rows side by side");
  const auto options = std::make_shared<CompareOptions>();
  command
      ->add_option(
          "jobs", options->jobs,
          "Jobs: id, unique prefix of it, or name. The first is what the others are compared with; one "
          "alone: its evaluate stages with each other")
      ->required();
  command->add_option("--rows,-n", options->rows, "So many gains and losses of rows")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command->add_option("--by", options->by,
                      "Metric that ranks the rows, e.g. loss; default rouge_l where there is one");
  command->add_flag("--all", options->all_results, "Every difference and result, not only the main ones");
  command->callback([&cli, options] { cli.run = [&cli, options] { return Compare(cli, *options); }; });
}

}  // namespace vernier::cli
