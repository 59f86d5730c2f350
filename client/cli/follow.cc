#include "client/cli/follow.h"

#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::cli {
namespace {

// Exit codes of a job that was waited for and did not succeed (docs/cli.md).
constexpr int kJobFailed = 10;
constexpr int kJobCancelled = 11;
constexpr int kJobPaused = 12;

}  // namespace

absl::string_view WithoutRepetition(absl::string_view message, absl::string_view told) {
  absl::string_view rest = message;
  if (told.empty() || !absl::ConsumeSuffix(&rest, told)) return message;
  absl::ConsumeSuffix(&rest, ": ");
  return rest.empty() ? message : rest;
}

std::string ProgressText(absl::string_view stage, const v1::Progress& progress) {
  std::string text = absl::StrCat(stage, "  ", progress.phase());
  if (progress.total_steps() > 0)
    absl::StrAppend(&text, "  step ", progress.step(), "/", progress.total_steps());
  if (progress.total_rows() > 0)
    absl::StrAppend(&text, "  row ", progress.rows(), "/", progress.total_rows());
  if (progress.total_bytes() > 0) {
    if (progress.rows() > 0) absl::StrAppend(&text, "  ", Counted(progress.rows(), "row"));
    absl::StrAppend(&text, "  ", HumanBytes(progress.bytes()), " of ", HumanBytes(progress.total_bytes()));
    absl::StrAppendFormat(
        &text, " (%.0f%%)",
        100.0 * static_cast<double>(progress.bytes()) / static_cast<double>(progress.total_bytes()));
  }
  if (progress.has_train_loss()) absl::StrAppendFormat(&text, "  loss %.4f", progress.train_loss());
  if (progress.has_valid_loss()) absl::StrAppendFormat(&text, "  valid loss %.4f", progress.valid_loss());
  if (progress.tokens_per_second() > 0)
    absl::StrAppendFormat(&text, "  %.0f tok/s", progress.tokens_per_second());
  if (progress.eta_seconds() > 0) absl::StrAppend(&text, "  ETA ", HumanDuration(progress.eta_seconds()));
  return text;
}

absl::StatusOr<v1::Job> Follow(Cli& cli, const std::string& name, bool json_events) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  v1::Job last;
  LiveLine live;
  std::string told;  // the newest message
  const absl::Status status = client->WatchJob(name, 0, [&](const v1::WatchJobResponse& response) {
    if (response.has_job()) last = response.job();
    if (json_events) {
      if (response.has_event()) PrintJson(response.event());
      return true;
    }
    if (!response.has_event()) return !(last.state() == v1::JOB_STATE_PAUSED);
    const v1::JobEvent& event = response.event();
    if (event.sequence() == 0) {
      live.Show(ProgressText(event.stage(), event.progress()));
      return true;
    }
    live.Clear();
    std::cerr << absl::FormatTime("%H:%M:%S", absl::FromUnixSeconds(event.time().seconds()),
                                  absl::LocalTimeZone())
              << "  " << (event.stage().empty() ? "" : event.stage() + "  ")
              << WithoutRepetition(event.message(), told) << "\n";
    told = event.message();
    // A pause of the past, of a job that was resumed since, comes without the job.
    return !response.has_job() || response.job().state() != v1::JOB_STATE_PAUSED;
  });
  live.Clear();
  VN_RETURN_IF_ERROR(status);
  v1::GetJobRequest request;
  request.set_name(name);
  VN_ASSIGN_OR_RETURN(const v1::GetJobResponse response,
                      client->Call(&v1::JobService::Stub::GetJob, request));
  return response.job();
}

absl::string_view FirstLine(absl::string_view text) { return text.substr(0, text.find('\n')); }

absl::Status ReportEnd(Cli& cli, const v1::Job& job) {
  switch (job.state()) {
    case v1::JOB_STATE_SUCCEEDED:
      return absl::OkStatus();
    case v1::JOB_STATE_CANCELLED:
      cli.exit_code = kJobCancelled;
      return absl::OkStatus();
    case v1::JOB_STATE_PAUSED:
      cli.exit_code = kJobPaused;
      return absl::OkStatus();
    default:
      cli.exit_code = kJobFailed;
      std::cerr << job.name() << " " << StateName(job.state()) << ": "
                << FirstLine(job.has_error() ? job.error().message() : job.state_reason()) << "\n";
      return absl::OkStatus();
  }
}

}  // namespace vernier::cli
