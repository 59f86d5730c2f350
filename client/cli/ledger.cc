// vernier ledger: which steps trained a row, and what it cost each time.
#include "storage/ledger.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/cli.h"
#include "client/cli/terminal.h"
#include "client/ledger_view.h"
#include "client/results.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::cli {
namespace {

using Json = nlohmann::ordered_json;
using client::RowVisits;

struct LedgerOptions {
  std::string job, stage;
  int64_t row = 0;    // 0 = not asked for
  int64_t worst = 0;  // likewise
  bool validation = false;
};

std::string Loss(double value) { return absl::StrFormat("%.4f", value); }
std::string Loss(const std::optional<double>& value) { return value ? Loss(*value) : "-"; }

Json OrNull(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? Json(*value) : Json(nullptr);
}

Json RowJson(const RowVisits& row) {
  Json json = {{"split", row.validation ? "validation" : "train"},
               {"row", row.row},
               {"line", row.line},
               {"tokens", row.tokens},
               {"trained_tokens", row.trained_tokens},
               {"weight", row.weight},
               {"loss_before", OrNull(row.before)},
               {"loss_after", OrNull(row.after)},
               {"visits", Json::array()}};
  for (const client::Visit& visit : row.visits) {
    json["visits"].push_back({{"step", visit.step}, {"loss", OrNull(visit.loss)}});
  }
  if (row.preview != nullptr) {
    json["prompt"] = row.preview->prompt;
    json["answer"] = row.preview->answer;
  }
  return json;
}

void PrintPreview(const client::LedgerPreview* preview, const Terminal& terminal) {
  if (preview == nullptr) return;
  const int columns = terminal.width - 12;
  // The end of the prompt says most: templates begin alike.
  std::cout << "    prompt  " << FitLineEnd(preview->prompt, columns, terminal.unicode) << "\n    answer  "
            << FitLine(preview->answer, columns, terminal.unicode) << "\n";
}

void PrintRow(const RowVisits& row, const Terminal& terminal) {
  std::cout << "line " << row.line << " (row " << row.row << (row.validation ? " of validation)" : ")")
            << ": " << Counted(row.tokens, "token") << ", " << row.trained_tokens
            << (row.validation ? " judged" : " trained");
  if (row.weight != static_cast<double>(row.trained_tokens))
    std::cout << ", weight " << absl::StrFormat("%g", row.weight);
  std::cout << "\n";
  PrintPreview(row.preview, terminal);
  if (row.visits.empty()) {
    std::cout << (row.validation ? "  was not judged yet\n" : "  no step has trained it yet\n");
    return;
  }
  if (!row.validation) {
    std::cout << "  trained by " << Counted(static_cast<int64_t>(row.visits.size()), "step") << "\n";
  }
  std::vector<std::vector<std::string>> table = {
      {"", row.validation ? "AFTER STEP" : "STEP", "LOSS", "CHANGE"}};
  for (size_t i = 0; i < row.visits.size(); ++i) {
    table.push_back({"", absl::StrCat(row.visits[i].step), Loss(row.visits[i].loss),
                     i == 0 ? "" : absl::StrFormat("%+.4f", row.visits[i].loss - row.visits[i - 1].loss)});
  }
  std::cout << AlignedTable(table, {1, 2, 3}, terminal);
}

absl::Status ShowRow(Cli& cli, const client::StageLedger& ledger, const LedgerOptions& options) {
  const std::vector<RowVisits> rows = client::RowsOfLine(ledger, options.row, options.validation);
  if (rows.empty()) {
    return absl::NotFoundError(absl::StrCat(
        "--row ", options.row, ": stage \"", ledger.stage, "\" ", options.validation ? "judged" : "trains",
        " no row of line ", options.row, "; ",
        options.validation ? "without --validation the rows to train on are searched"
                           : "it may be held out (--validation), or was dropped (vernier job JOB)"));
  }
  if (cli.json()) {
    for (const RowVisits& row : rows) {
      std::cout << RowJson(row).dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
    }
    return absl::OkStatus();
  }
  const Terminal terminal = DetectTerminal();
  for (const RowVisits& row : rows) PrintRow(row, terminal);
  return absl::OkStatus();
}

absl::Status ShowWorst(Cli& cli, const client::StageLedger& ledger, const LedgerOptions& options) {
  const std::vector<RowVisits> rows = client::WorstRows(ledger, options.worst, options.validation);
  if (cli.json()) {
    for (const RowVisits& row : rows) {
      std::cout << RowJson(row).dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
    }
    return absl::OkStatus();
  }
  const Terminal terminal = DetectTerminal();
  if (rows.empty()) {
    std::cout << "no row was " << (options.validation ? "judged" : "trained") << " yet\n";
    return absl::OkStatus();
  }
  for (const RowVisits& row : rows) {
    std::cout << Coloured(Loss(row.after), 1, terminal) << "  line " << row.line << "  at step "
              << row.visits.back().step << ", was " << Loss(row.before) << " at step "
              << row.visits.front().step << "  (" << row.trained_tokens << " of "
              << Counted(row.tokens, "token") << ")\n";
    PrintPreview(row.preview, terminal);
  }
  if (ledger.previews.empty()) std::cout << "texts are shown once the stage has ended\n";
  return absl::OkStatus();
}

absl::Status ShowSummary(Cli& cli, const client::StageLedger& ledger) {
  const client::LedgerSummary summary = client::Summarise(ledger);
  if (cli.json()) {
    std::cout << Json({{"stage", ledger.stage},
                       {"rows", summary.num_rows},
                       {"rows_trained", summary.num_trained},
                       {"visits", summary.num_visits},
                       {"least_visits", summary.least_visits},
                       {"most_visits", summary.most_visits},
                       {"steps", summary.num_steps},
                       {"last_step", summary.last_step},
                       {"loss_before", OrNull(summary.before)},
                       {"loss_after", OrNull(summary.after)},
                       {"rows_risen", summary.num_risen},
                       {"validation_rows", summary.num_validation_rows},
                       {"validation_loss_before", OrNull(summary.validation_before)},
                       {"validation_loss_after", OrNull(summary.validation_after)}})
                     .dump()
              << "\n";
    return absl::OkStatus();
  }
  std::cout << "stage " << ledger.stage << ", " << Counted(summary.num_steps, "step") << ", the last of them "
            << summary.last_step << "\n  rows              " << summary.num_trained << " of "
            << summary.num_rows << " trained, " << Counted(summary.num_visits, "visit") << ", "
            << summary.least_visits << " to " << summary.most_visits << " a row\n  loss              "
            << Loss(summary.before) << " at their first visit -> " << Loss(summary.after)
            << " at their last; it rose for " << Counted(summary.num_risen, "row") << "\n";
  if (summary.num_validation_rows > 0) {
    std::cout << "  validation rows   " << summary.num_validation_rows << ": "
              << Loss(summary.validation_before) << " -> " << Loss(summary.validation_after) << "\n";
  }
  std::cout << "--row N shows one, --worst those that cost most, --validation those held out\n";
  return absl::OkStatus();
}

absl::Status Run(Cli& cli, const LedgerOptions& options) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  VN_ASSIGN_OR_RETURN(const v1::Job job, client::GetJob(*client, options.job));
  VN_ASSIGN_OR_RETURN(const client::StageLedger ledger, client::GetLedger(*client, job, options.stage));
  if (options.row > 0) return ShowRow(cli, ledger, options);
  if (options.worst > 0) return ShowWorst(cli, ledger, options);
  return ShowSummary(cli, ledger);
}

}  // namespace

void AddLedgerCommand(CLI::App& app, Cli& cli) {
  CLI::App* const command =
      app.add_subcommand("ledger", "Which steps trained a row, and what it cost before and after");
  const auto options = std::make_shared<LedgerOptions>();
  command->add_option("job", options->job, "Job: id, unique prefix of it, or name")->required();
  CLI::Option* const row =
      command->add_option("--row,-r", options->row, "The row of this line of the data file, from 1")
          ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
  command->add_option("--worst,-w", options->worst, "So many rows with the highest newest loss (alone: 10)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->expected(0, 1)
      ->default_str("10")
      ->excludes(row);
  command->add_flag("--validation", options->validation, "Of the rows held out");
  command->add_option("--stage", options->stage, "Train stage, where the job has several");
  command->callback([&cli, options] { cli.run = [&cli, options] { return Run(cli, *options); }; });
}

}  // namespace vernier::cli
