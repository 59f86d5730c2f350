// Waiting for a job at the command line.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "client/cli/cli.h"

namespace vernier::cli {

// "sft  training  step 12/100  loss 2.1034  ETA 3 min 2 s".
std::string ProgressText(absl::string_view stage, const v1::Progress& progress);

// Follows a job to its end; returns how it ended. Its events go to standard error as lines, with
// `json_events` to standard output as JSON.
absl::StatusOr<v1::Job> Follow(Cli& cli, const std::string& name, bool json_events);

// `message` without the words that were told just before: a job fails with the reason of its stage, which may
// be many lines. Two stages that tell the same both tell it.
absl::string_view WithoutRepetition(absl::string_view message, absl::string_view told);

absl::string_view FirstLine(absl::string_view text);

// How a job that was waited for ended: the exit code, and a sentence where it failed.
absl::Status ReportEnd(Cli& cli, const v1::Job& job);

}  // namespace vernier::cli
