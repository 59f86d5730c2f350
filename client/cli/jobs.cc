// vernier submit, jobs, job, cancel, pause, resume, rm, logs.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <map>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli/cli.h"
#include "client/cli/data_report.h"
#include "client/cli/follow.h"
#include "client/job_file.h"
#include "client/results.h"
#include "common/digest.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "proto/yaml.h"

namespace vernier::cli {
namespace {

using v1::JobService;

bool Ended(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED ||
         state == v1::JOB_STATE_CANCELLED;
}

void PrintResults(const v1::Job& job) {
  for (const v1::StageStatus& stage : job.stages()) {
    if (stage.results().empty()) continue;
    std::cout << stage.id() << ":\n";
    const std::map<std::string, double> sorted(stage.results().begin(), stage.results().end());
    for (const auto& [name, value] : sorted) {
      const bool whole = value == std::floor(value) && std::fabs(value) < 1e15;
      std::cout << absl::StrFormat("  %-24s ", name)
                << (whole ? Grouped(static_cast<int64_t>(value)) : absl::StrFormat("%.6g", value)) << "\n";
    }
  }
}

void PrintJob(const v1::Job& job, bool with_spec) {
  std::cout << job.name() << "  " << StateName(job.state());
  if (!job.spec().name().empty()) std::cout << "  \"" << job.spec().name() << "\"";
  std::cout << "\n";
  if (!job.state_reason().empty()) std::cout << "  reason    " << job.state_reason() << "\n";
  if (job.queue_position() > 0) std::cout << "  queue     position " << job.queue_position() << "\n";
  std::cout << "  created   " << HumanTime(job.create_time()) << "\n";
  if (job.has_start_time()) std::cout << "  started   " << HumanTime(job.start_time()) << "\n";
  if (job.has_end_time()) std::cout << "  ended     " << HumanTime(job.end_time()) << "\n";
  for (const v1::StageStatus& stage : job.stages()) {
    std::cout << "  stage " << stage.id() << " (" << stage.kind() << ")  " << StateName(stage.state());
    // The reason of a job that failed is that of its stage: once is enough.
    if (!stage.reason().empty() && !absl::EndsWith(job.state_reason(), stage.reason())) {
      std::cout << "  " << stage.reason();
    }
    std::cout << "\n";
    if (!Ended(job.state()) && stage.has_progress()) {
      std::cout << "    " << ProgressText("", stage.progress()) << "\n";
    }
    if (stage.has_data_report()) {
      const v1::DataReport& report = stage.data_report();
      std::cout << "    data: " << Counted(report.num_rows(), "row") << ", "
                << Counted(report.num_tokens(), "token") << ", " << report.num_trained_tokens()
                << " trained, " << report.num_validation_rows() << " held out\n";
      for (const std::string& note : report.notes()) std::cout << "    note: " << note << "\n";
      for (const v1::RowProblem& problem : report.problems()) {
        std::cout << "    line " << problem.line() << ": " << problem.reason() << "\n";
      }
    }
    for (const std::string& note : stage.notes()) std::cout << "    note: " << note << "\n";
    for (const v1::CheckpointInfo& checkpoint : stage.checkpoints()) {
      std::cout << "    checkpoint at step " << checkpoint.step() << (checkpoint.best() ? " (best)" : "")
                << "\n";
    }
  }
  PrintResults(job);
  if (with_spec) std::cout << "---\n" << ToYaml(job.spec());
}

absl::Status Submit(Cli& cli, const std::string& path, const std::vector<std::string>& assignments,
                    bool watch, bool validate_only, const std::string& request_id) {
  VN_ASSIGN_OR_RETURN(v1::JobSpec spec, client::ReadJobFile(path, assignments));
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  VN_RETURN_IF_ERROR(client::UploadLocalFiles(*client, path, spec,
                                              [](const std::string& line) { std::cerr << line << "\n"; }));
  if (validate_only) {
    v1::ValidateJobRequest request;
    *request.mutable_spec() = spec;
    VN_ASSIGN_OR_RETURN(const v1::ValidateJobResponse response,
                        client->Call(&JobService::Stub::ValidateJob, request));
    if (cli.json()) {
      PrintJson(response.effective());
    } else {
      std::cout << ToYaml(response.effective());
    }
    return absl::OkStatus();
  }
  v1::CreateJobRequest request;
  *request.mutable_spec() = spec;
  request.set_request_id(request_id.empty() ? RandomHex(16) : request_id);
  VN_ASSIGN_OR_RETURN(const v1::CreateJobResponse response,
                      client->Call(&JobService::Stub::CreateJob, request));
  if (!watch) {
    if (cli.json()) {
      PrintJson(response.job());
    } else {
      std::cout << response.job().name() << "\n";
    }
    return absl::OkStatus();
  }
  std::cerr << "submitted " << response.job().name() << "\n";
  VN_ASSIGN_OR_RETURN(const v1::Job job, Follow(cli, response.job().name(), cli.json()));
  if (cli.json()) {
    PrintJson(job);
  } else {
    PrintJob(job, /*with_spec=*/false);
  }
  return ReportEnd(cli, job);
}

absl::Status ListJobs(Cli& cli, const std::vector<std::string>& labels, const std::string& state, int limit) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  v1::ListJobsRequest request;
  for (const std::string& label : labels) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(label, absl::MaxSplits('=', 1));
    if (parts.first.empty() || !absl::StrContains(label, '=')) {
      return absl::InvalidArgumentError(absl::StrCat("--label ", label, ": write key=value"));
    }
    (*request.mutable_labels())[parts.first] = parts.second;
  }
  if (!state.empty()) {
    v1::JobState value = v1::JOB_STATE_UNSPECIFIED;
    if (!v1::JobState_Parse("JOB_STATE_" + absl::AsciiStrToUpper(state), &value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--state ", state, ": no such state; try queued, running, failed"));
    }
    request.set_state(value);
  }
  v1::ListJobsResponse all;
  do {
    request.set_page_size(std::min(1000, limit - all.jobs_size()));
    VN_ASSIGN_OR_RETURN(const v1::ListJobsResponse page, client->Call(&JobService::Stub::ListJobs, request));
    all.mutable_jobs()->MergeFrom(page.jobs());
    all.set_next_page_token(page.next_page_token());
    request.set_page_token(page.next_page_token());
  } while (!all.next_page_token().empty() && all.jobs_size() < limit);
  if (cli.json()) {
    PrintJson(all);
    return absl::OkStatus();
  }
  Table table({"JOB", "STATE", "NAME", "CREATED", "REASON"});
  for (const v1::Job& job : all.jobs()) {
    table.Add({ShortId(job.name()), StateName(job.state()), job.spec().name(), HumanTime(job.create_time()),
               std::string(FirstLine(job.state_reason()))});
  }
  table.Print(labels.empty() && state.empty() ? "no jobs yet; `vernier submit FILE` makes one"
                                              : "no such jobs");
  return absl::OkStatus();
}

// Cancel, pause and resume differ in their method and word only.
template <typename Request, typename Response>
void AddVerb(CLI::App& app, Cli& cli, const char* verb, const char* help,
             grpc::Status (JobService::Stub::*method)(grpc::ClientContext*, const Request&, Response*)) {
  CLI::App* const command = app.add_subcommand(verb, help);
  const auto name = std::make_shared<std::string>();
  command->add_option("job", *name, kJobHelp)->required();
  command->callback([&cli, name, method] {
    cli.run = [&cli, name, method]() -> absl::Status {
      VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
      Request request;
      request.set_name(*name);
      VN_ASSIGN_OR_RETURN(const Response response, client->Call(method, request));
      if (cli.json()) {
        PrintJson(response.job());
      } else {
        std::cout << response.job().name() << "  " << StateName(response.job().state()) << "  "
                  << response.job().state_reason() << "\n";
      }
      return absl::OkStatus();
    };
  });
}

void PrintEvent(Cli& cli, const v1::JobEvent& event) {
  if (cli.json()) {
    PrintJson(event);
    return;
  }
  std::cout << absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixSeconds(event.time().seconds()),
                                absl::LocalTimeZone())
            << "  " << event.level() << "  " << (event.stage().empty() ? "" : event.stage() + "  ")
            << event.message() << std::endl;
}

absl::Status ShowLogs(Cli& cli, const std::string& name, bool follow) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  VN_ASSIGN_OR_RETURN(const v1::Job job, client::GetJob(*client, name));
  if (!follow) {
    VN_ASSIGN_OR_RETURN(const std::vector<v1::JobEvent> events, client->StoredEvents(job.name()));
    for (const v1::JobEvent& event : events) PrintEvent(cli, event);
    return absl::OkStatus();
  }
  return client->WatchJob(job.name(), 0, [&](const v1::WatchJobResponse& response) {
    if (response.has_event() && response.event().sequence() > 0) PrintEvent(cli, response.event());
    return true;
  });
}

}  // namespace

void AddJobCommands(CLI::App& app, Cli& cli) {
  {
    CLI::App* const command =
        app.add_subcommand("submit", "Queue a job from a YAML file (local data is uploaded)");
    struct Options {
      std::string path, request_id;
      std::vector<std::string> set;
      bool watch = false, dry_run = false;
    };
    const auto options = std::make_shared<Options>();
    command->add_option("file", options->path, "Job file, - = standard input")->required();
    command->add_option("--set", options->set, "Set a field, e.g. train.tuning.lora.rank=16 (repeatable)")
        ->allow_extra_args(false);
    command->add_flag("--watch,-w", options->watch, "Follow it to its end; the exit code says how it ended");
    command->add_flag("--dry-run", options->dry_run,
                      "Only validate and print the effective job; local data is uploaded all the same");
    command->add_option("--request-id", options->request_id,
                        "Submitting again with the same id makes no second job");
    command->callback([&cli, options] {
      cli.run = [&cli, options] {
        return Submit(cli, options->path, options->set, options->watch, options->dry_run,
                      options->request_id);
      };
    });
  }
  {
    CLI::App* const command = app.add_subcommand("jobs", "List jobs, newest first");
    struct Options {
      std::vector<std::string> labels;
      std::string state;
      int limit = 50;
    };
    const auto options = std::make_shared<Options>();
    command->add_option("--label", options->labels, "Only those with this label, key=value (repeatable)");
    command->add_option("--state", options->state, "Only those in this state, e.g. running");
    command->add_option("--limit", options->limit, "At most so many")->check(CLI::Range(1, 1000000));
    command->callback([&cli, options] {
      cli.run = [&cli, options] { return ListJobs(cli, options->labels, options->state, options->limit); };
    });
  }
  {
    CLI::App* const command = app.add_subcommand("job", "Show a job");
    const auto name = std::make_shared<std::string>();
    const auto spec = std::make_shared<bool>(false);
    const auto watch = std::make_shared<bool>(false);
    command->add_option("job", *name, kJobHelp)->required();
    command->add_flag("--spec", *spec, "Also the effective job as YAML");
    command->add_flag("--watch,-w", *watch, "Follow it to its end");
    command->callback([&cli, name, spec, watch] {
      cli.run = [&cli, name, spec, watch]() -> absl::Status {
        v1::Job job;
        if (*watch) {
          VN_ASSIGN_OR_RETURN(job, Follow(cli, *name, cli.json()));
        } else {
          VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
          v1::GetJobRequest request;
          request.set_name(*name);
          VN_ASSIGN_OR_RETURN(v1::GetJobResponse response, client->Call(&JobService::Stub::GetJob, request));
          job = std::move(*response.mutable_job());
        }
        if (cli.json()) {
          PrintJson(job);
        } else {
          PrintJob(job, *spec);
        }
        return *watch ? ReportEnd(cli, job) : absl::OkStatus();
      };
    });
  }
  AddVerb(app, cli, "cancel", "Checkpoint a job and end it", &JobService::Stub::CancelJob);
  AddVerb(app, cli, "pause", "Checkpoint a job and free its device", &JobService::Stub::PauseJob);
  AddVerb(app, cli, "resume", "Let a paused or failed job go on from its checkpoint",
          &JobService::Stub::ResumeJob);
  {
    CLI::App* const command =
        app.add_subcommand("rm", "Remove an ended job with its checkpoints and artifacts");
    const auto name = std::make_shared<std::string>();
    command->add_option("job", *name, kJobHelp)->required();
    command->callback([&cli, name] {
      cli.run = [&cli, name]() -> absl::Status {
        VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
        v1::DeleteJobRequest request;
        request.set_name(*name);
        return client->Call(&JobService::Stub::DeleteJob, request).status();
      };
    });
  }
  {
    CLI::App* const command = app.add_subcommand("logs", "What happened to a job, in sentences");
    const auto name = std::make_shared<std::string>();
    const auto follow = std::make_shared<bool>(false);
    command->add_option("job", *name, kJobHelp)->required();
    command->add_flag("--follow,-f", *follow, "Go on until the job ends");
    command->callback(
        [&cli, name, follow] { cli.run = [&cli, name, follow] { return ShowLogs(cli, *name, *follow); }; });
  }
}

}  // namespace vernier::cli
