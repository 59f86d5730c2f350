// vernier plan: what a job would need, without queueing it.
#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/cli.h"
#include "client/cli/data_report.h"
#include "client/cli/measure.h"
#include "client/job_file.h"
#include "client/model_files.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::cli {
namespace {

using v1::JobService;

// A job that fits nowhere, as docs/cli.md has it.
constexpr int kDoesNotFit = 6;

// Where the rows of a dataset lie here, by its digest.
using LocalFiles = std::map<std::string, std::string>;

// Uploads what is local, and remembers where it was.
absl::StatusOr<LocalFiles> Upload(client::Client& client, const std::string& job_path, v1::JobSpec& spec) {
  v1::JobSpec written = spec;
  VN_RETURN_IF_ERROR(client::UploadLocalFiles(client, job_path, spec,
                                              [](const std::string& line) { std::cerr << line << "\n"; }));
  LocalFiles files;
  const std::vector<v1::Data*> before = client::DataOf(written), after = client::DataOf(spec);
  for (size_t i = 0; i < before.size(); ++i) {
    for (const auto& [name, digest] :
         {std::pair(before[i]->source(), after[i]->source()),
          std::pair(before[i]->validation().from(), after[i]->validation().from())}) {
      const std::string path = client::FindLocalFile(job_path, name);
      if (!path.empty() && digest != name) files[digest] = path;
    }
  }
  return files;
}

absl::StatusOr<v1::DataReport> Measure(Cli& cli, const LocalRows& rows, const v1::TrainStage& train) {
  const v1::Data& data = train.data();
  client::CodecRequest request;
  request.model = train.model().base();
  request.turns = data.turns();
  request.reasoning = data.reasoning();
  if (data.has_chat_template()) request.chat_template = data.chat_template();
  request.template_time = data.template_time();
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<data::Codec> codec,
                      client::OpenCodec(request, [&cli] { return cli.client(); }));
  LiveLine live;
  return MeasureRows(rows, train, *codec, [&](const data::PrepareProgress& now) {
    live.Show(absl::StrCat("looking at ", rows.train, "  ", HumanBytes(now.bytes), " of ",
                           HumanBytes(now.total_bytes)));
  });
}

absl::StatusOr<v1::PlanJobResponse> AskForPlan(Cli& cli, const std::string& path,
                                               const std::vector<std::string>& assignments, bool quick) {
  VN_ASSIGN_OR_RETURN(v1::JobSpec spec, client::ReadJobFile(path, assignments));
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  VN_ASSIGN_OR_RETURN(const LocalFiles files, Upload(*client, path, spec));
  v1::PlanJobRequest request;
  *request.mutable_spec() = std::move(spec);
  VN_ASSIGN_OR_RETURN(v1::PlanJobResponse response, client->Call(&JobService::Stub::PlanJob, request));
  if (quick) return response;
  // What the service has not prepared before is looked at here.
  const auto find = [&](const std::string& digest) {
    const auto file = files.find(digest);
    return file == files.end() ? std::string() : file->second;
  };
  std::map<int, std::vector<std::string>> notes;  // by stage
  for (int i = 0; i < response.stages_size(); ++i) {
    const v1::StagePlan& plan = response.stages(i);
    const v1::TrainStage& train = response.effective().stages(i).train();
    if (plan.kind() != "train" || !plan.unknown().empty() || plan.rows_measured()) continue;
    const LocalRows rows = {find(train.data().source()), find(train.data().validation().from())};
    notes[i] = NotMeasured(rows, train.data());
    if (rows.train.empty() || !train.model().has_base()) continue;
    VN_ASSIGN_OR_RETURN((*request.mutable_reports())[plan.stage()], Measure(cli, rows, train));
  }
  if (!request.reports().empty()) {
    VN_ASSIGN_OR_RETURN(response, client->Call(&JobService::Stub::PlanJob, request));
  }
  for (const auto& [stage, texts] : notes) {
    for (const std::string& text : texts) response.mutable_stages(stage)->add_notes(text);
  }
  return response;
}

void PrintMemory(const v1::StagePlan& plan) {
  std::cout << absl::StrFormat("  memory at the peak (%s, %s): %s\n", plan.peak_phase(), plan.precision(),
                               HumanBytes(plan.peak_bytes()));
  for (const v1::MemoryPart& part : plan.memory()) {
    std::cout << absl::StrFormat("    %-15s %10s  %s\n", part.name(), HumanBytes(part.bytes()),
                                 part.detail());
  }
}

void PrintDevices(const v1::StagePlan& plan) {
  Table table(
      {"  AGENT", "DEVICE", "MEMORY", "PRECISION", "PEAK", "CHECKPOINTED", "FITS", "TOKENS/S", "TIME"});
  for (const v1::DevicePlan& device : plan.devices()) {
    if (device.agent().empty()) continue;
    table.Add({absl::StrCat("  ", device.agent()), device.device(),
               device.memory_bytes() > 0 ? HumanBytes(device.memory_bytes()) : "?", device.precision(),
               HumanBytes(device.peak_bytes()),
               absl::StrCat(device.checkpointed_layers(), "/", plan.num_layers()),
               device.fits() ? "yes" : "no",
               device.tokens_per_second() > 0 ? absl::StrFormat("%.0f", device.tokens_per_second()) : "?",
               device.seconds() > 0 ? HumanDuration(device.seconds()) : "?"});
  }
  table.Print();
  for (const v1::DevicePlan& device : plan.devices()) {
    if (device.agent().empty() || device.rate_basis().empty()) continue;
    std::cout << "  time on " << device.agent() << ": "
              << (device.seconds() > 0 ? absl::StrCat("from ", device.rate_basis()) : device.rate_basis())
              << "\n";
  }
}

void PrintStage(const v1::StagePlan& plan) {
  std::cout << "stage " << plan.stage() << " (" << plan.kind() << ")";
  if (!plan.unknown().empty()) {
    std::cout << ": " << plan.unknown() << "\n";
    return;
  }
  std::cout << "\n";
  PrintMemory(plan);
  std::cout << "  " << Grouped(plan.steps()) << " " << Noun(plan.steps(), "step") << " over "
            << Grouped(plan.rows()) << " " << Noun(plan.rows(), "row") << ", " << Grouped(plan.tokens())
            << " tokens in all; the largest micro-batch has " << Grouped(plan.micro_batch_tokens())
            << " tokens, the longest row " << Grouped(plan.longest_row_tokens()) << "\n";
  PrintDevices(plan);
  for (const std::string& note : plan.notes()) std::cout << "  note: " << note << "\n";
  if (!plan.problem().empty()) std::cout << "  does not fit: " << plan.problem() << "\n";
}

absl::Status Plan(Cli& cli, const std::string& path, const std::vector<std::string>& assignments, bool json,
                  bool quick) {
  VN_ASSIGN_OR_RETURN(const v1::PlanJobResponse response, AskForPlan(cli, path, assignments, quick));
  for (const v1::StagePlan& plan : response.stages()) {
    if (!plan.problem().empty()) cli.exit_code = kDoesNotFit;
  }
  if (json || cli.json()) {
    PrintJson(response);
    return absl::OkStatus();
  }
  for (const v1::StagePlan& plan : response.stages()) PrintStage(plan);
  return absl::OkStatus();
}

}  // namespace

void AddPlanCommand(CLI::App& app, Cli& cli) {
  CLI::App* const command =
      app.add_subcommand("plan", "What a job would need: memory by part, steps, time. Queues nothing");
  struct Options {
    std::string path;
    std::vector<std::string> set;
    bool json = false, quick = false;
  };
  const auto options = std::make_shared<Options>();
  command->add_option("file", options->path, "Job file, - = standard input; local data is uploaded")
      ->required();
  command->add_option("--set", options->set, "Set a field, e.g. train.micro_batch_tokens=1024 (repeatable)")
      ->allow_extra_args(false);
  command->add_flag("--json", options->json, "The API's PlanJobResponse");
  command->add_flag("--quick", options->quick,
                    "Do not look at rows that were never prepared: each counts as long as it may be");
  command->callback([&cli, options] {
    cli.run = [&cli, options] {
      return Plan(cli, options->path, options->set, options->json, options->quick);
    };
  });
}

}  // namespace vernier::cli
