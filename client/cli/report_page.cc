// A page is read from top to bottom, so it is one file: each section is one function, in the order of the
// page.
#include "client/cli/report_page.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "client/cli/cli.h"
#include "client/cli/data_report.h"
#include "client/cli/html.h"
#include "client/cli/report_style.h"
#include "client/cli/svg_plot.h"
#include "client/compare.h"
#include "client/ledger_view.h"
#include "common/digest.h"
#include "common/text.h"
#include "proto/yaml.h"

namespace vernier::cli {
namespace {

using client::Evaluation;
using client::JobResults;
using client::Prediction;

constexpr size_t kMaxTextBytes = 6000;  // of a text in a sample
constexpr size_t kFirstSamples = 5;
constexpr size_t kExtremeSamples = 3;
constexpr int64_t kWorstRows = 10;
constexpr int kOpenEvents = 40;

std::string PageNumber(double value) { return std::isfinite(value) ? absl::StrFormat("%.5g", value) : "-"; }
std::string Code(absl::string_view text) { return absl::StrCat("<code>", HtmlText(text), "</code>"); }

double SecondsOf(const google::protobuf::Timestamp& time) {
  return static_cast<double>(time.seconds()) + 1e-9 * time.nanos();
}

std::optional<double> ResultOf(const v1::StageStatus& stage, const std::string& name) {
  const auto found = stage.results().find(name);
  if (found == stage.results().end()) return std::nullopt;
  return found->second;
}

std::string Section(absl::string_view id, absl::string_view title, absl::string_view body) {
  if (body.empty()) return "";
  return absl::StrCat("<section id=\"", id, "\" aria-labelledby=\"", id, "-h\">\n<h2 id=\"", id, "-h\">",
                      title, "</h2>\n", body, "</section>\n");
}

// The words after a heading of a stage, where there are several.
std::string StageHeading(const v1::Job& job, const std::string& stage) {
  return job.stages_size() > 1 ? absl::StrCat("<h3>Stage ", HtmlText(stage), "</h3>\n") : "";
}

// --- Top.

std::string StateBadge(v1::JobState state) {
  const char* kind = state == v1::JOB_STATE_SUCCEEDED                                    ? "good"
                     : state == v1::JOB_STATE_FAILED                                     ? "bad"
                     : state == v1::JOB_STATE_CANCELLED || state == v1::JOB_STATE_PAUSED ? "warn"
                                                                                         : "soft";
  return absl::StrCat("<span class=\"state ", kind, "\">", StateName(state), "</span>");
}

std::string Tile(absl::string_view value, absl::string_view label) {
  return absl::StrCat("<div class=\"tile\"><b>", value, "</b><span>", label, "</span></div>\n");
}

// "2.41 → 1.83".
std::string Change(const std::optional<double>& before, double after) {
  const std::string now = absl::StrFormat("%.3g", after);
  return before ? absl::StrCat(absl::StrFormat("%.3g", *before), " \u2192 ", now) : now;
}

std::string TrainTiles(const v1::StageStatus& stage, const std::string& of) {
  std::string tiles;
  if (const auto loss = ResultOf(stage, "valid_loss")) {
    tiles += Tile(Change(ResultOf(stage, "valid_loss_before"), *loss), "validation loss" + of);
  } else if (const auto train = ResultOf(stage, "train_loss")) {
    tiles += Tile(absl::StrFormat("%.4g", *train), "train loss" + of);
  }
  if (const auto rate = ResultOf(stage, "tokens_per_second")) {
    tiles += Tile(Grouped(std::llround(*rate)), "tokens per second" + of);
  }
  if (const auto seconds = ResultOf(stage, "train_seconds")) {
    tiles += Tile(HumanDuration(*seconds), "in training steps" + of);
  }
  if (const auto steps = ResultOf(stage, "steps")) tiles += Tile(Grouped(std::llround(*steps)), "steps" + of);
  return tiles;
}

std::string Tiles(const JobResults& results) {
  std::string tiles;
  int num_trained = 0;
  for (const v1::StageStatus& stage : results.job.stages()) num_trained += stage.kind() == "train" ? 1 : 0;
  for (const v1::StageStatus& stage : results.job.stages()) {
    const std::string of = num_trained > 1 ? absl::StrCat(" \u00b7 ", HtmlText(stage.id())) : "";
    if (stage.kind() == "train") tiles += TrainTiles(stage, of);
  }
  std::vector<client::EvaluationPair> pairs = client::PairEvaluations(absl::MakeConstSpan(&results, 1));
  if (pairs.empty() && !results.evaluations.empty()) {
    pairs.push_back({&results, nullptr, &results, &results.evaluations.front()});
  }
  for (const client::EvaluationPair& pair : pairs) {
    for (const char* const metric : {"rouge_l", "exact_match", "token_accuracy", "loss"}) {
      const auto after = pair.after->metrics.find(metric);
      if (after == pair.after->metrics.end()) continue;
      std::optional<double> before;
      if (pair.before != nullptr && pair.before->metrics.contains(metric))
        before = pair.before->metrics.at(metric);
      tiles +=
          Tile(Change(before, after->second), absl::StrCat(metric, " \u00b7 ", HtmlText(pair.after->stage)));
      break;
    }
  }
  return tiles.empty() ? "" : absl::StrCat("<div class=\"tiles\">\n", tiles, "</div>\n");
}

std::string Header(const JobResults& results) {
  const v1::Job& job = results.job;
  const std::string title = job.spec().name().empty() ? job.name() : job.spec().name();
  std::string html =
      absl::StrCat("<header>\n<h1>", HtmlText(title), StateBadge(job.state()), "</h1>\n<p class=\"lead\">",
                   Code(job.name()), " created ", HumanTime(job.create_time()));
  if (job.has_end_time()) {
    absl::StrAppend(&html, ", ended ", HumanTime(job.end_time()), ", after ",
                    HumanDuration(SecondsOf(job.end_time()) - SecondsOf(job.create_time())));
  }
  html += "</p>\n";
  if (job.has_error()) {
    absl::StrAppend(
        &html, "<p class=\"error\" role=\"alert\"><strong>",
        HtmlText(job.error().stage().empty() ? "Failed" : absl::StrCat("Stage ", job.error().stage())),
        ":</strong> ", HtmlText(job.error().message()), "</p>\n");
  } else if (!job.state_reason().empty()) {
    absl::StrAppend(&html, "<p class=\"lead\">", HtmlText(job.state_reason()), "</p>\n");
  }
  return html + Tiles(results) + "</header>\n";
}

// --- Curves.

PlotLine LineOf(const JobResults& results, const std::string& stage, const std::string& metric,
                const std::string& name, int colour) {
  PlotLine line{.name = name, .colour = colour};
  for (const v1::MetricPoint& point : results.points) {
    if (point.stage() != stage) continue;
    if (const auto value = client::ValueOf(point, metric)) {
      line.points.emplace_back(static_cast<double>(point.step()), *value);
    }
  }
  return line;
}

std::string CurvesOf(const JobResults& results, const std::string& stage, int number) {
  const auto plot = [&](const char* id, const char* title, const char* y_label, std::vector<PlotLine> lines,
                        bool from_zero) {
    return SvgPlot({.id = absl::StrCat(id, "-", number),
                    .title = title,
                    .x_label = "step",
                    .y_label = y_label,
                    .lines = std::move(lines),
                    .wide = absl::string_view(id) == "loss",  // the one that matters
                    .from_zero = from_zero});
  };
  PlotLine train = LineOf(results, stage, "train_loss", "train", 1);
  PlotLine valid = LineOf(results, stage, "valid_loss", "validation", 2);
  train.smooth = true;
  valid.marks = true;
  std::string loss = plot("loss", "Loss", "per trained token", {train, valid}, false);
  if (loss.empty()) return "";
  loss = absl::StrCat("<figure class=\"first\">", absl::StripPrefix(loss, "<figure>"));
  PlotLine norm = LineOf(results, stage, "grad_norm", "gradient norm", 4);
  norm.smooth = true;
  PlotLine rate = LineOf(results, stage, "tokens_per_second", "tokens per second", 3);
  rate.smooth = true;
  PlotLine accuracy = LineOf(results, stage, "valid_token_accuracy", "token accuracy", 2);
  accuracy.marks = true;
  return absl::StrCat(
      StageHeading(results.job, stage), "<div class=\"plots\">\n", loss,
      plot("accuracy", "Validation token accuracy", "share of tokens", {accuracy}, false),
      plot("lr", "Learning rate", "", {LineOf(results, stage, "learning_rate", "learning rate", 5)}, true),
      plot("norm", "Gradient norm", "before clipping", {norm}, true),
      plot("rate", "Throughput", "real tokens per second", {rate}, true), "</div>\n");
}

std::string Curves(const JobResults& results) {
  std::string html;
  for (int i = 0; i < results.job.stages_size(); ++i)
    html += CurvesOf(results, results.job.stages(i).id(), i);
  return html;
}

// --- Results.

std::string Results(const v1::Job& job) {
  std::vector<std::vector<std::string>> rows;
  for (const v1::StageStatus& stage : job.stages()) {
    const std::map<std::string, double> sorted(stage.results().begin(), stage.results().end());
    for (const auto& [name, value] : sorted) {
      const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
      rows.push_back({HtmlText(stage.id()), Code(name),
                      whole ? Grouped(static_cast<int64_t>(value)) : absl::StrFormat("%.6g", value)});
    }
  }
  return HtmlTable("Results of each stage", {"Stage", "Result", "Value"}, rows, {2});
}

// --- Samples.

std::string ScoresText(const Prediction& row) {
  std::string text;
  for (const auto& [metric, value] : row.scores) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", HtmlText(metric), " ", PageNumber(value));
  }
  return text.empty() ? "" : absl::StrCat(" <span class=\"soft\">(", text, ")</span>");
}

std::string Sample(const Prediction* before, const Prediction& after, absl::string_view before_name,
                   absl::string_view after_name) {
  std::string html = absl::StrCat("<article class=\"sample\"><h4>Line ", after.line, "</h4>\n");
  if (!after.prompt.empty()) {
    absl::StrAppend(&html, "<details><summary>Prompt</summary><pre>",
                    HtmlExcerpt(after.prompt, kMaxTextBytes), "</pre></details>\n");
  }
  absl::StrAppend(&html, "<dl><dt>Reference</dt><dd>", HtmlExcerpt(after.reference, kMaxTextBytes),
                  "</dd>\n");
  if (before != nullptr) {
    absl::StrAppend(&html, "<dt>", HtmlText(before_name), "</dt><dd>",
                    HtmlExcerpt(before->prediction, kMaxTextBytes), ScoresText(*before), "</dd>\n");
  }
  absl::StrAppend(&html, "<dt>", HtmlText(after_name), "</dt><dd>",
                  HtmlExcerpt(after.prediction, kMaxTextBytes), ScoresText(after), "</dd></dl></article>\n");
  return html;
}

std::string ComparedSamples(const client::EvaluationPair& pair) {
  const auto compared = client::CompareRows(*pair.before, *pair.after, "");
  if (!compared) return "";
  const std::string& before = pair.before->stage;
  const std::string& after = pair.after->stage;
  std::string html = absl::StrCat(
      "<p>", compared->rows.size(), " ", HtmlText(pair.after->split), " ",
      Noun(static_cast<int64_t>(compared->rows.size()), "row"), ", judged by ", HtmlText(before), " and by ",
      HtmlText(after), ". Mean ", HtmlText(compared->metric), " ", PageNumber(compared->mean_before),
      " \u2192 <strong>", PageNumber(compared->mean_after), "</strong>; better on ", compared->num_better,
      ", worse on ", compared->num_worse, ", equal on ", Counted(compared->num_equal, "row"), ".</p>\n");
  if (!pair.before->has_text || !pair.after->has_text) return html;
  std::vector<const client::ComparedRow*> first;
  for (const client::ComparedRow& row : compared->rows) first.push_back(&row);
  absl::c_stable_sort(first, [](const auto* a, const auto* b) { return a->line < b->line; });
  const auto add = [&](const client::ComparedRow& row) {
    html += Sample(row.before, *row.after, before, after);
  };
  html += "<h3>The first rows</h3>\n";
  for (size_t i = 0; i < std::min(kFirstSamples, first.size()); ++i) add(*first[i]);
  const auto& rows = compared->rows;
  if (compared->num_better > 0) html += "<h3>Largest gains</h3>\n";
  for (size_t i = 0; i < std::min(kExtremeSamples, rows.size()) && rows[i].gain > 0; ++i) add(rows[i]);
  if (compared->num_worse > 0) html += "<h3>Largest losses</h3>\n";
  for (size_t i = 0; i < std::min(kExtremeSamples, rows.size()) && rows[rows.size() - 1 - i].gain < 0; ++i) {
    add(rows[rows.size() - 1 - i]);
  }
  return html;
}

std::string Samples(const JobResults& results) {
  const std::vector<client::EvaluationPair> pairs = client::PairEvaluations(absl::MakeConstSpan(&results, 1));
  std::string html;
  for (const client::EvaluationPair& pair : pairs) html += ComparedSamples(pair);
  if (!html.empty()) return html;
  for (const Evaluation& evaluation : results.evaluations) {
    if (!evaluation.has_text) continue;
    html += StageHeading(results.job, evaluation.stage);
    for (size_t i = 0; i < std::min(kFirstSamples, evaluation.rows.size()); ++i) {
      html += Sample(nullptr, evaluation.rows[i], "", evaluation.stage);
    }
  }
  return html;
}

// --- Rows.

std::string LedgerOf(const client::StageLedger& ledger, const v1::Job& job) {
  const client::LedgerSummary summary = client::Summarise(ledger);
  if (summary.num_visits == 0) return "";
  const auto loss = [](const std::optional<double>& value) {
    return value ? absl::StrFormat("%.4f", *value) : "-";
  };
  std::string html = absl::StrCat(
      StageHeading(job, ledger.stage), "<p>", Grouped(summary.num_trained), " of ", Grouped(summary.num_rows),
      " ", Noun(summary.num_rows, "row"), " trained, in ", Grouped(summary.num_visits), " ",
      Noun(summary.num_visits, "visit"), ". Their mean loss was ", loss(summary.before),
      " at the first visit and ", loss(summary.after), " at the last; it rose for ",
      Grouped(summary.num_risen), " ", Noun(summary.num_risen, "row"), ". <code>vernier ledger ",
      HtmlText(ShortId(job.name())), " --row N</code> tells one row's story.</p>\n");
  std::vector<std::vector<std::string>> rows;
  for (const client::RowVisits& row : client::WorstRows(ledger, kWorstRows, /*validation=*/false)) {
    std::string text;
    if (row.preview != nullptr) {
      text = absl::StrCat("<details><summary>", HtmlExcerpt(row.preview->answer, 200), "</summary><pre>",
                          HtmlExcerpt(row.preview->prompt, kMaxTextBytes), "\n\n<mark>",
                          HtmlExcerpt(row.preview->answer, kMaxTextBytes), "</mark></pre></details>");
    }
    rows.push_back({absl::StrCat(row.line), absl::StrCat(row.trained_tokens), absl::StrCat(row.visits.size()),
                    loss(row.before), loss(row.after), text});
  }
  return html + HtmlTable("Rows with the highest loss at their last visit",
                          {"Line", "Trained tokens", "Visits", "First loss", "Last loss", "Answer"}, rows,
                          {0, 1, 2, 3, 4});
}

// --- Data.

std::string Share(int64_t part, int64_t whole) {
  if (whole <= 0) return "";
  return absl::StrFormat(" <span class=\"soft\">(%.1f %%)</span>",
                         100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string DataTables(const v1::DataReport& report) {
  std::vector<std::vector<std::string>> sources, losses, problems, pairs;
  for (const v1::SourceReport& source : report.sources()) {
    sources.push_back({HtmlText(source.name()), Grouped(source.num_rows()), Grouped(source.num_tokens()),
                       Grouped(source.rows_per_epoch()), PageNumber(source.passes_per_epoch())});
  }
  for (const v1::OverlongLoss& loss : report.overlong_losses()) {
    losses.push_back({HtmlText(absl::AsciiStrToLower(
                          absl::StripPrefix(v1::OnOverlong_Name(loss.policy()), "ON_OVERLONG_"))),
                      Grouped(loss.num_rows()), Grouped(loss.num_tokens())});
  }
  for (const v1::RowProblem& problem : report.problems()) {
    problems.push_back({absl::StrCat(problem.line()), HtmlExcerpt(problem.reason(), 500)});
  }
  const auto add_pairs = [&](const auto& found, const char* what) {
    for (const v1::RowPair& pair : found) {
      pairs.push_back({what, HtmlText(pair.row()), HtmlText(pair.other()), PageNumber(pair.similarity())});
    }
  };
  add_pairs(report.duplicates(), "repeats");
  add_pairs(report.contaminations(), "is held out, and like");
  return absl::StrCat(
      HtmlTable("Datasets of the mixture", {"Dataset", "Rows", "Tokens", "Rows an epoch", "Passes an epoch"},
                sources, {1, 2, 3, 4}),
      HtmlTable("What each policy for overlong rows would lose", {"on_overlong", "Rows", "Tokens"}, losses,
                {1, 2}),
      HtmlTable("Rows that are alike", {"", "Row", "Other row", "Similarity"}, pairs, {3}),
      HtmlTable("Rows with problems", {"Line", "Problem"}, problems, {0}));
}

std::string DataOf(const v1::DataReport& report, int number) {
  std::vector<std::pair<std::string, std::string>> facts = {
      {"Rows to train on", Grouped(report.num_rows())},
      {"Tokens", Grouped(report.num_tokens())},
      {"Trained tokens",
       Grouped(report.num_trained_tokens()) + Share(report.num_trained_tokens(), report.num_tokens())},
      {"Longest row", Grouped(report.max_row_tokens()) + " tokens"}};
  const auto add = [&](const char* name, int64_t value, const std::string& more = "") {
    if (value != 0) facts.emplace_back(name, Grouped(value) + more);
  };
  if (report.median_row_tokens() > 0) {
    facts.emplace_back("Median row",
                       absl::StrCat(Grouped(report.median_row_tokens()), " tokens, 95 % at most ",
                                    Grouped(report.p95_row_tokens())));
  }
  add("Rows held out", report.num_validation_rows());
  add("Bad rows", report.num_bad_rows());
  add("Overlong rows", report.num_overlong_rows());
  add("Dropped rows", report.num_dropped_rows());
  add("Tokens lost", report.tokens_lost());
  add("Exact duplicates", report.num_duplicate_rows());
  add("Near duplicates", report.num_near_duplicate_rows());
  add("Left out as duplicates", report.num_deduplicated_rows());
  add("Held-out rows also trained on", report.num_contaminated_rows() + report.num_near_contaminated_rows());
  if (!report.row_format().empty()) {
    facts.emplace_back("Format",
                       HtmlText(absl::StrCat(report.row_format(), " rows, ", report.file_format())));
  }
  std::vector<Bar> bars;
  for (const v1::LengthBucket& bucket : report.lengths()) {
    bars.push_back(
        {.label = absl::StrCat("\u2264", bucket.max_tokens()),
         .value = static_cast<double>(bucket.num_rows()),
         .note = absl::StrCat(Grouped(bucket.num_rows()), " ", Noun(bucket.num_rows(), "row"), ", ",
                              Grouped(bucket.num_tokens()), " ", Noun(bucket.num_tokens(), "token"))});
  }
  std::string notes;
  for (const std::string& note : report.notes()) absl::StrAppend(&notes, "<li>", HtmlText(note), "</li>\n");
  if (!notes.empty()) notes = absl::StrCat("<h3>Notes</h3>\n<ul>\n", notes, "</ul>\n");
  return absl::StrCat(HtmlFacts(facts),
                      SvgBars(absl::StrCat("lengths-", number), "Rows by length", "tokens", bars),
                      DataTables(report), notes);
}

std::string Data(const v1::Job& job) {
  // Stages that were given the same rows say the same, once.
  std::vector<std::pair<const v1::DataReport*, std::vector<std::string>>> reports;
  for (const v1::StageStatus& stage : job.stages()) {
    if (!stage.has_data_report()) continue;
    const std::string bytes = stage.data_report().SerializeAsString();
    auto found = absl::c_find_if(
        reports, [&](const auto& known) { return known.first->SerializeAsString() == bytes; });
    if (found == reports.end()) found = reports.insert(reports.end(), {&stage.data_report(), {}});
    found->second.push_back(stage.id());
  }
  std::string html;
  for (size_t i = 0; i < reports.size(); ++i) {
    const auto& [report, stages] = reports[i];
    if (reports.size() > 1) {
      absl::StrAppend(&html, "<h3>", stages.size() > 1 ? "Stages " : "Stage ",
                      HtmlText(absl::StrJoin(stages, ", ")), "</h3>\n");
    }
    html += DataOf(*report, static_cast<int>(i));
  }
  return html;
}

// --- Time.

std::string Times(const v1::Job& job, absl::Time made) {
  const double start = SecondsOf(job.create_time());
  std::vector<TimeSpan> spans;
  std::vector<std::vector<std::string>> rows;
  for (const v1::StageStatus& stage : job.stages()) {
    if (!stage.has_start_time()) continue;
    const double begin = SecondsOf(stage.start_time()) - start;
    // One that runs has lasted until now.
    const double ended =
        stage.has_end_time() ? SecondsOf(stage.end_time()) : absl::ToDoubleSeconds(made - absl::UnixEpoch());
    const double end = std::max(begin, ended - start);
    spans.push_back({.label = stage.id(),
                     .note = absl::StrCat(stage.kind(), ", ", HumanDuration(end - begin)),
                     .begin = begin,
                     .end = end,
                     .colour = stage.kind() == "train" ? 1 : 5});
    const auto seconds = [&](const char* name) {
      const auto value = ResultOf(stage, name);
      return value ? HumanDuration(*value) : std::string("-");
    };
    const double inside = ResultOf(stage, "train_seconds").value_or(0) +
                          ResultOf(stage, "validation_seconds").value_or(0) +
                          ResultOf(stage, "seconds").value_or(0);
    rows.push_back({HtmlText(stage.id()), HtmlText(stage.kind()), StateName(stage.state()),
                    absl::StrCat(stage.attempts()), HumanDuration(begin), HumanDuration(end - begin),
                    stage.kind() == "train" ? seconds("train_seconds") : seconds("seconds"),
                    seconds("validation_seconds"), HumanDuration(end - begin - inside)});
  }
  return SvgTimeline("times", "When each stage ran, in seconds since the job was created", spans) +
         HtmlTable("Times of each stage",
                   {"Stage", "Kind", "State", "Attempts", "Began after", "Took", "In steps or judging",
                    "Validating", "Loading, saving, waiting"},
                   rows, {3, 4, 5, 6, 7, 8});
}

std::string Events(const std::vector<v1::JobEvent>& events) {
  std::vector<std::vector<std::string>> rows;
  for (const v1::JobEvent& event : events) {
    const char* kind = event.level() == "error" ? "bad" : event.level() == "warning" ? "warn" : "soft";
    rows.push_back({HumanTime(event.time()),
                    absl::StrCat("<span class=\"", kind, "\">", HtmlText(event.level()), "</span>"),
                    HtmlText(event.stage()), HtmlExcerpt(event.message(), 2000)});
  }
  const std::string table = HtmlTable("What happened", {"Time", "Level", "Stage", "What happened"}, rows);
  if (table.empty() || static_cast<int>(rows.size()) <= kOpenEvents) return table;
  return absl::StrCat("<details><summary>", rows.size(), " events</summary>\n", table, "</details>\n");
}

// --- Environment.

std::string Environment(const ReportInput& input) {
  std::vector<std::pair<std::string, std::string>> facts = {
      {"Service", HtmlText(absl::StrCat("vernierd ", input.server.version()))},
      {"This page", HtmlText(absl::StrCat("vernier ", input.client_version))},
      {"Seed", absl::StrCat(input.results.job.spec().seed())}};
  for (const v1::Model& model : input.models) {
    facts.emplace_back(
        "Model " + HtmlText(model.name()),
        absl::StrCat(HtmlText(model.architecture()), ", ", Grouped(model.num_parameters()),
                     " parameters, context ", Grouped(model.context_length()), "<br>", Code(model.digest())));
  }
  for (const v1::Dataset& dataset : input.datasets) {
    facts.emplace_back("Dataset " + HtmlText(dataset.name()),
                       absl::StrCat(Grouped(dataset.num_rows()), " ", Noun(dataset.num_rows(), "row"), ", ",
                                    HumanBytes(dataset.size_bytes()), "<br>", Code(dataset.digest())));
  }
  std::string html = HtmlFacts(facts);
  std::vector<std::vector<std::string>> rows;
  for (const v1::StageStatus& stage : input.results.job.stages()) {
    for (const std::string& note : stage.notes()) {
      absl::string_view text = note;
      const bool is_class = absl::ConsumePrefix(&text, "numeric class: ");
      rows.push_back({HtmlText(stage.id()), is_class ? "numeric class" : "note",
                      is_class ? Code(text) : HtmlText(text)});
    }
  }
  return html + HtmlTable("Numeric class and notes of each stage", {"Stage", "", ""}, rows);
}

// --- Artifacts.

std::string HowToLoad(const v1::Job& job, const v1::Artifact& artifact) {
  const std::string id = ShortId(job.name());
  const std::string pull = absl::StrCat("vernier adapters pull ", id, " --stage ", artifact.stage(),
                                        " --name ", artifact.name(), " --out ./", artifact.name(), "\n");
  if (artifact.name() == "adapter") {
    return absl::StrCat(pull, "vernier generate --adapter ", job.name(), "/stages/", artifact.stage(),
                        " \"...\"\n\n# Python\nfrom peft import PeftModel\n"
                        "model = PeftModel.from_pretrained(base_model, \"./adapter\")\n");
  }
  if (artifact.name() == "weights") {
    return absl::StrCat(pull,
                        "\n# Python\nfrom transformers import AutoModelForCausalLM\n"
                        "model = AutoModelForCausalLM.from_pretrained(\"./weights\")\n");
  }
  if (artifact.name() == "ledger") return absl::StrCat("vernier ledger ", id, " --worst\n", pull);
  if (artifact.name() == "evaluation") return absl::StrCat("vernier compare ", id, "\n", pull);
  return pull;
}

std::string Artifacts(const JobResults& results) {
  std::string html;
  for (const v1::Artifact& artifact : results.artifacts) {
    std::vector<std::vector<std::string>> rows;
    for (const v1::ArtifactFile& file : artifact.files()) {
      rows.push_back({Code(file.name()), HumanBytes(file.size_bytes()), Code(file.sha256())});
    }
    const std::string title = absl::StrCat(artifact.stage(), " / ", artifact.name());
    absl::StrAppend(&html, "<h3>", HtmlText(title), " <span class=\"soft\">",
                    HumanBytes(artifact.size_bytes()), ", ", HumanTime(artifact.create_time()),
                    "</span></h3>\n",
                    HtmlTable(absl::StrCat("Files of ", title), {"File", "Size", "SHA-256"}, rows, {1}),
                    "<pre>", HtmlText(HowToLoad(results.job, artifact)), "</pre>\n");
  }
  return html;
}

std::string Style() {
  const std::string digest = absl::HexStringToBytes(Sha256Hex(kReportStyle));
  return absl::StrCat(
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-",
      absl::Base64Escape(digest), "'; base-uri 'none'; form-action 'none'\">\n<style>", kReportStyle,
      "</style>\n");
}

}  // namespace

std::string ReportPage(const ReportInput& input) {
  const JobResults& results = input.results;
  const v1::Job& job = results.job;
  std::string rows;
  for (const client::StageLedger& ledger : input.ledgers) rows += LedgerOf(ledger, job);
  struct Part {
    const char* id;
    const char* title;
    std::string body;
  };
  const Part parts[] = {{"curves", "Curves", Curves(results)},
                        {"samples", "Samples", Samples(results)},
                        {"results", "Results", Results(job)},
                        {"data", "Data", Data(job)},
                        {"rows", "Rows", rows},
                        {"time", "Time", Times(job, input.made)},
                        {"artifacts", "Artifacts", Artifacts(results)},
                        {"configuration", "Configuration",
                         absl::StrCat("<p>The job as it ran, every default filled in.</p>\n<pre>",
                                      HtmlText(ToYaml(job.spec())), "</pre>\n")},
                        {"environment", "Environment", Environment(input)},
                        {"events", "Events", Events(results.events)}};
  const std::string title = job.spec().name().empty() ? job.name() : job.spec().name();
  std::string page =
      absl::StrCat("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n", Style(),
                   "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                   "<meta name=\"referrer\" content=\"no-referrer\">\n<title>",
                   HtmlText(title), " \u2013 Vernier report</title>\n</head>\n<body>\n", Header(results),
                   "<nav aria-label=\"Sections\"><ul>\n");
  for (const Part& part : parts) {
    if (!part.body.empty())
      absl::StrAppend(&page, "<li><a href=\"#", part.id, "\">", part.title, "</a></li>\n");
  }
  page += "</ul></nav>\n<main>\n";
  for (const Part& part : parts) page += Section(part.id, part.title, part.body);
  absl::StrAppend(
      &page, "</main>\n<footer>Made by Vernier ", HtmlText(input.client_version), " at ",
      absl::FormatTime("%Y-%m-%d %H:%M:%S", input.made, absl::LocalTimeZone()),
      ". This page is complete in itself: it loads nothing and runs no script.</footer>\n</body>\n</html>\n");
  return page;
}

}  // namespace vernier::cli
