// vernier report: a job as one HTML page.
#include <iostream>
#include <memory>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/cli.h"
#include "client/cli/report_page.h"
#include "client/results.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/version.h"

namespace vernier::cli {
namespace {

// Names of models and datasets that the job refers to.
struct Named {
  std::set<std::string> models, datasets;
};

void AddData(const v1::Data& data, Named& named) {
  if (!data.source().empty()) named.datasets.insert(data.source());
  for (const v1::DataSource& source : data.mix()) named.datasets.insert(source.source());
  const std::string& validation = data.validation().from();
  if (!validation.empty() && !absl::EndsWith(validation, "%")) named.datasets.insert(validation);
}

Named NamesIn(const v1::JobSpec& spec) {
  Named named;
  for (const v1::Stage& stage : spec.stages()) {
    const v1::ModelRef& model = stage.has_evaluate()  ? stage.evaluate().model()
                                : stage.has_export_() ? stage.export_().model()
                                                      : stage.train().model();
    if (!model.base().empty()) named.models.insert(model.base());
    AddData(stage.has_evaluate() ? stage.evaluate().data() : stage.train().data(), named);
  }
  return named;
}

// What was deleted meanwhile is left out of the page.
absl::Status AddNamed(client::Client& client, ReportInput& input) {
  const Named named = NamesIn(input.results.job.spec());
  for (const std::string& name : named.models) {
    v1::GetModelRequest request;
    request.set_name(name);
    const auto found = client.Call(&v1::ModelService::Stub::GetModel, request);
    if (absl::IsNotFound(found.status())) continue;
    VN_RETURN_IF_ERROR(found.status());
    input.models.push_back(found->model());
  }
  for (const std::string& name : named.datasets) {
    v1::GetDatasetRequest request;
    request.set_name(name);
    const auto found = client.Call(&v1::DatasetService::Stub::GetDataset, request);
    if (absl::IsNotFound(found.status())) continue;
    VN_RETURN_IF_ERROR(found.status());
    input.datasets.push_back(found->dataset());
  }
  return absl::OkStatus();
}

absl::Status AddLedgers(client::Client& client, ReportInput& input) {
  for (const v1::StageStatus& stage : input.results.job.stages()) {
    if (stage.kind() != "train") continue;
    absl::StatusOr<client::StageLedger> ledger = client::GetLedger(client, input.results.job, stage.id());
    if (absl::IsNotFound(ledger.status())) continue;  // nothing was checkpointed yet
    VN_RETURN_IF_ERROR(ledger.status());
    input.ledgers.push_back(*std::move(ledger));
  }
  return absl::OkStatus();
}

absl::Status Report(Cli& cli, const std::string& name, std::string path) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  ReportInput input;
  VN_ASSIGN_OR_RETURN(input.results, client::GetResults(*client, name));
  VN_ASSIGN_OR_RETURN(input.server,
                      client->Call(&v1::AdminService::Stub::GetServerInfo, v1::GetServerInfoRequest()));
  VN_RETURN_IF_ERROR(AddNamed(*client, input));
  VN_RETURN_IF_ERROR(AddLedgers(*client, input));
  input.client_version = std::string(Version());
  input.made = absl::Now();
  const std::string page = ReportPage(input);
  if (path == "-") {
    std::cout << page;
    return absl::OkStatus();
  }
  const v1::Job& job = input.results.job;
  if (path.empty())
    path =
        absl::StrCat("report-", job.spec().name().empty() ? ShortId(job.name()) : job.spec().name(), ".html");
  VN_RETURN_IF_ERROR(WriteFileAtomic(path, page));
  std::cerr << "wrote " << path << "\n";
  return absl::OkStatus();
}

}  // namespace

void AddReportCommand(CLI::App& app, Cli& cli) {
  CLI::App* const command =
      app.add_subcommand("report", "A job as one HTML page: curves, samples, data, configuration, artifacts");
  const auto name = std::make_shared<std::string>();
  const auto path = std::make_shared<std::string>();
  command->add_option("job", *name, "Job: id, unique prefix of it, or name")->required();
  command->add_option("--out,-o", *path, "File to write, - = standard output; default report-JOB.html");
  command->callback(
      [&cli, name, path] { cli.run = [&cli, name, path] { return Report(cli, *name, *path); }; });
}

}  // namespace vernier::cli
