#include "client/cli/cli.h"

#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::cli {

absl::StatusOr<client::Client*> Cli::client() {
  if (client_ == nullptr) {
    VN_ASSIGN_OR_RETURN(client::Endpoint endpoint, client::FindEndpoint(data_dir));
    client_ = std::make_unique<client::Client>(std::move(endpoint));
  }
  return client_.get();
}

std::string UsageError(const CLI::App& app, absl::string_view what) {
  // The command that the words before the error name.
  const CLI::App* command = &app;
  std::string path = "vernier";
  while (!command->get_subcommands().empty()) {
    command = command->get_subcommands().front();
    absl::StrAppend(&path, " ", command->get_name());
  }
  std::vector<std::string> known;
  for (const CLI::App* one : command->get_subcommands([](const CLI::App*) { return true; })) {
    known.push_back(one->get_name());
  }
  if (!known.empty()) {
    // What a group does not know falls through to those around it.
    for (const std::string& word : app.remaining(/*recurse=*/true)) {
      if (absl::StartsWith(word, "-")) continue;
      return absl::StrCat("\"", Excerpt(word), "\" is no command", DidYouMean(word, known), "; `", path,
                          " --help` lists them");
    }
  }
  return absl::StrCat(what, "; `", path, " --help` explains it");
}

std::string ToJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  VN_CHECK(status.ok());
  return json;
}

void PrintJson(const google::protobuf::Message& message) { std::cout << ToJson(message) << "\n"; }

void Table::Print(absl::string_view empty) const {
  if (rows_.size() < 2) {
    if (!empty.empty()) std::cerr << empty << "\n";
    return;
  }
  std::vector<size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    std::cout << line << "\n";
  }
}

LiveLine::LiveLine() : terminal_(::isatty(STDERR_FILENO) == 1) {}

void LiveLine::Show(const std::string& text) {
  const absl::Time now = absl::Now();
  if (!terminal_) {
    if (now - last_ < absl::Seconds(5)) return;
    last_ = now;
    std::cerr << text << "\n";
    return;
  }
  std::cerr << "\r\033[K" << text << std::flush;
  shown_ = true;
}

void LiveLine::Clear() {
  if (shown_) std::cerr << "\r\033[K" << std::flush;
  shown_ = false;
}

void PrintFields(const std::vector<std::pair<std::string, std::string>>& fields) {
  size_t width = 0;
  for (const auto& [name, value] : fields) width = std::max(width, name.size());
  for (const auto& [name, value] : fields) {
    if (!value.empty()) std::cout << absl::StrFormat("%-*s  %s\n", static_cast<int>(width), name, value);
  }
}

std::string HumanDuration(double seconds) {
  const int64_t whole = static_cast<int64_t>(std::llround(std::max(0.0, seconds)));
  if (whole < 60) return absl::StrCat(whole, " s");
  if (whole < 3600) return absl::StrCat(whole / 60, " min ", whole % 60, " s");
  return absl::StrCat(whole / 3600, " h ", whole % 3600 / 60, " min");
}

std::string HumanTime(const google::protobuf::Timestamp& time) {
  if (time.seconds() == 0) return "-";
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixSeconds(time.seconds()), absl::LocalTimeZone());
}

std::string StateName(v1::JobState state) {
  return std::string(absl::StripPrefix(v1::JobState_Name(state), "JOB_STATE_"));
}

std::string StateName(v1::StageState state) {
  return std::string(absl::StripPrefix(v1::StageState_Name(state), "STAGE_STATE_"));
}

std::string ShortId(absl::string_view job_name) { return std::string(absl::StripPrefix(job_name, "jobs/")); }

}  // namespace vernier::cli
