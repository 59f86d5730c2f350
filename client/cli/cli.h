// What the commands of `vernier` share. Exit codes: common/exit_code.h.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "google/protobuf/message.h"

namespace vernier::cli {

// Thread-compatible: the main thread.
class Cli {
 public:
  std::string data_dir;         // --data-dir
  std::string output = "text";  // --output: text | json
  // Set by the subcommand that was chosen.
  std::function<absl::Status()> run;
  // Overrides the code that the status gives (submit --watch: how the job ended).
  int exit_code = 0;

  bool json() const { return output == "json"; }
  // Connects on first use.
  absl::StatusOr<client::Client*> client();

 private:
  std::unique_ptr<client::Client> client_;
};

// What names a job, everywhere.
inline constexpr char kJobHelp[] = "Job: id, unique prefix of it (4 characters or more), or name";

// One call per command group; each adds its subcommands.
void AddServiceCommands(CLI::App& app, Cli& cli);    // up down agents gc du version
void AddJobCommands(CLI::App& app, Cli& cli);        // submit jobs job cancel pause resume rm logs
void AddPlanCommand(CLI::App& app, Cli& cli);        // plan
void AddMetricsCommand(CLI::App& app, Cli& cli);     // metrics
void AddDatasetCommands(CLI::App& app, Cli& cli);    // datasets ...
void AddModelCommands(CLI::App& app, Cli& cli);      // models ... tokenize
void AddAdapterCommands(CLI::App& app, Cli& cli);    // adapters ...
void AddGenerateCommand(CLI::App& app, Cli& cli);    // generate
void AddExportCommand(CLI::App& app, Cli& cli);      // export
void AddCompareCommand(CLI::App& app, Cli& cli);     // compare
void AddLedgerCommand(CLI::App& app, Cli& cli);      // ledger
void AddReportCommand(CLI::App& app, Cli& cli);      // report
void AddCompletionCommand(CLI::App& app, Cli& cli);  // completion

// After a parse that failed because of `what`, one sentence: which word is no command, and the nearest one;
// or `what` and where it is explained.
std::string UsageError(const CLI::App& app, absl::string_view what);

// The proto's JSON mapping with its own field names, on one line.
std::string ToJson(const google::protobuf::Message& message);
void PrintJson(const google::protobuf::Message& message);

// Columns as wide as their longest cell.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  // Without rows nothing is printed, but `empty`, a sentence, on standard error.
  void Print(absl::string_view empty = "") const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// One thing: names and what they are, a line each; those that are "" are left out.
void PrintFields(const std::vector<std::pair<std::string, std::string>>& fields);

// A line that overwrites itself on a terminal; elsewhere a new line at most every few seconds. On standard
// error.
class LiveLine {
 public:
  LiveLine();
  ~LiveLine() { Clear(); }
  void Show(const std::string& text);
  // Removes it, so that other lines can be printed.
  void Clear();

 private:
  const bool terminal_;
  bool shown_ = false;
  absl::Time last_ = absl::InfinitePast();
};

// "2 h 3 min", "41 s".
std::string HumanDuration(double seconds);
// "2026-01-31 14:02:11" in local time.
std::string HumanTime(const google::protobuf::Timestamp& time);
// "SUCCEEDED" of JOB_STATE_SUCCEEDED.
std::string StateName(v1::JobState state);
std::string StateName(v1::StageState state);
std::string ShortId(absl::string_view job_name);  // "jobs/1234abcd..." without "jobs/"

}  // namespace vernier::cli
