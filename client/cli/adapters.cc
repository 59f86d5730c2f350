// vernier adapters list, pull, import.
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/cli.h"
#include "client/cli/download.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::cli {
namespace {

using v1::ArtifactService;

absl::StatusOr<v1::ListArtifactsResponse> Artifacts(Cli& cli, const std::string& job) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  v1::ListArtifactsRequest request;
  request.set_job(job);
  return client->Call(&ArtifactService::Stub::ListArtifacts, request);
}

absl::Status List(Cli& cli, const std::string& job) {
  VN_ASSIGN_OR_RETURN(const v1::ListArtifactsResponse response, Artifacts(cli, job));
  if (cli.json()) {
    PrintJson(response);
    return absl::OkStatus();
  }
  Table table({"JOB", "STAGE", "ARTIFACT", "SIZE", "CREATED", "FILES"});
  for (const v1::Artifact& artifact : response.artifacts()) {
    std::string files;
    for (const v1::ArtifactFile& file : artifact.files()) {
      absl::StrAppend(&files, files.empty() ? "" : " ", file.name());
    }
    table.Add({ShortId(artifact.job()), artifact.stage(), artifact.name(), HumanBytes(artifact.size_bytes()),
               HumanTime(artifact.create_time()), files});
  }
  table.Print(job.empty() ? "no job has published anything yet" : "the job has published nothing yet");
  return absl::OkStatus();
}

struct PullOptions {
  std::string job, stage, name, out;
};

// The one artifact that the options mean.
absl::StatusOr<v1::Artifact> Choose(const v1::ListArtifactsResponse& response, const PullOptions& options) {
  std::vector<const v1::Artifact*> fitting;
  std::string all;
  for (const v1::Artifact& artifact : response.artifacts()) {
    absl::StrAppend(&all, all.empty() ? "" : ", ", artifact.stage(), "/", artifact.name());
    if (!options.stage.empty() && artifact.stage() != options.stage) continue;
    // Without a name: what training made, not what judged it or kept its books.
    const bool beside = artifact.name() == "evaluation" || artifact.name() == "ledger";
    if (options.name.empty() ? beside : artifact.name() != options.name) continue;
    fitting.push_back(&artifact);
  }
  if (fitting.size() == 1) return *fitting.front();
  if (fitting.empty()) {
    return absl::NotFoundError(absl::StrCat(options.job, " has published no such artifact",
                                            all.empty() ? " yet" : absl::StrCat("; it has ", all)));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(options.job, " has several artifacts (", all, "); choose with --stage and --name"));
}

absl::Status Pull(Cli& cli, const PullOptions& options) {
  VN_ASSIGN_OR_RETURN(const v1::ListArtifactsResponse response, Artifacts(cli, options.job));
  VN_ASSIGN_OR_RETURN(const v1::Artifact artifact, Choose(response, options));
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  VN_RETURN_IF_ERROR(DownloadFiles(*client, artifact, options.out));
  if (cli.json()) {
    PrintJson(artifact);
    return absl::OkStatus();
  }
  std::cout << artifact.name() << " of " << artifact.job() << " stage " << artifact.stage() << " is in "
            << options.out << " (" << Counted(artifact.files_size(), "file") << ", "
            << HumanBytes(artifact.size_bytes()) << ")\n";
  return absl::OkStatus();
}

}  // namespace

void AddAdapterCommands(CLI::App& app, Cli& cli) {
  CLI::App* const group =
      app.add_subcommand("adapters", "What jobs published: adapters, weights, evaluations");
  group->require_subcommand(1);
  {
    CLI::App* const command = group->add_subcommand("list", "Artifacts of a job, or of all");
    const auto job = std::make_shared<std::string>();
    command->add_option("job", *job, kJobHelp);
    command->callback([&cli, job] { cli.run = [&cli, job] { return List(cli, *job); }; });
  }
  {
    CLI::App* const command =
        group->add_subcommand("pull", "Download an artifact; adapters are PEFT's two files");
    const auto options = std::make_shared<PullOptions>();
    command->add_option("job", options->job, kJobHelp)->required();
    command->add_option("--stage", options->stage, "Of this stage");
    command->add_option("--name", options->name,
                        "adapter, weights or evaluation; default: what training published");
    command->add_option("--out,-o", options->out, "Folder, created when missing")->required();
    command->callback([&cli, options] { cli.run = [&cli, options] { return Pull(cli, *options); }; });
  }
  {
    CLI::App* const command =
        group->add_subcommand("import", "Bring a PEFT folder into the service, for init_from");
    const auto folder = std::make_shared<std::string>();
    command->add_option("folder", *folder, "adapter_config.json + adapter_model.safetensors")->required();
    command->callback([&cli, folder] {
      cli.run = [&cli, folder]() -> absl::Status {
        VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
        VN_ASSIGN_OR_RETURN(const std::string adapter, client->ImportAdapter(*folder));
        if (cli.json()) {
          v1::ImportAdapterResponse response;
          response.set_adapter(adapter);
          PrintJson(response);
        } else {
          std::cout << adapter << "\n";
        }
        return absl::OkStatus();
      };
    });
  }
}

}  // namespace vernier::cli
