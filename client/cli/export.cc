// vernier export.
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli/cli.h"
#include "client/cli/download.h"
#include "client/cli/follow.h"
#include "client/export_job.h"
#include "client/results.h"
#include "client/serving_commands.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "storage/gguf.h"

namespace vernier::cli {
namespace {

constexpr int kMaxTries = 100;
constexpr int64_t kMaxConfigBytes = int64_t{16} << 20;

struct ExportOptions {
  client::ExportRequest request;
  std::string to;
};

absl::StatusOr<v1::Model> GetModel(client::Client& client, const std::string& name) {
  v1::GetModelRequest request;
  request.set_name(name);
  VN_ASSIGN_OR_RETURN(v1::GetModelResponse response, client.Call(&v1::ModelService::Stub::GetModel, request));
  return std::move(*response.mutable_model());
}

// Names become what they mean now, so that the same words mean the same files or another job.
absl::Status Resolve(client::Client& client, client::ExportRequest& request) {
  if (!request.model.empty()) {
    VN_ASSIGN_OR_RETURN(const v1::Model model, GetModel(client, request.model));
    request.model_digest = model.digest();
  }
  if (request.job.empty()) return absl::OkStatus();
  VN_ASSIGN_OR_RETURN(const v1::Job job, client::GetJob(client, request.job));
  request.job = job.name();
  return absl::OkStatus();
}

// The job that makes the files: one that did already, or is at it, or a new one.
absl::StatusOr<v1::Job> FindOrCreate(client::Client& client, const client::ExportRequest& request) {
  for (int n = 0; n < kMaxTries; ++n) {
    v1::CreateJobRequest create;
    *create.mutable_spec() = client::ExportSpec(request);
    create.set_request_id(client::ExportRequestId(request, n));
    VN_ASSIGN_OR_RETURN(v1::CreateJobResponse response,
                        client.Call(&v1::JobService::Stub::CreateJob, create));
    const v1::JobState state = response.job().state();
    // What failed or was cancelled before says nothing about now.
    if (state == v1::JOB_STATE_FAILED || state == v1::JOB_STATE_CANCELLED) continue;
    return std::move(*response.mutable_job());
  }
  return absl::FailedPreconditionError(
      absl::StrCat("this export failed or was cancelled ", kMaxTries, " times; remove some of its jobs"));
}

absl::StatusOr<v1::Artifact> ArtifactOf(client::Client& client, const v1::Job& job,
                                        const std::string& profile) {
  v1::ListArtifactsRequest list;
  list.set_job(job.name());
  VN_ASSIGN_OR_RETURN(const v1::ListArtifactsResponse response,
                      client.Call(&v1::ArtifactService::Stub::ListArtifacts, list));
  for (const v1::Artifact& artifact : response.artifacts()) {
    if (artifact.name() == profile) return artifact;
  }
  return absl::NotFoundError(absl::StrCat(job.name(), " has no artifact \"", profile, "\""));
}

// What the adapter of the request is served with.
absl::StatusOr<std::string> BaseOf(client::Client& client, const client::ExportRequest& request) {
  if (request.job.empty()) return absl::StrCat("models/", request.model);
  VN_ASSIGN_OR_RETURN(const v1::Job job, client::GetJob(client, request.job));
  return client::BaseSourceOf(job, request.stage);
}

void PrintCommands(const client::Exported& exported) {
  for (const client::ServingCommand& command : client::ServingCommands(exported)) {
    std::cout << "\n# " << command.server << (command.note.empty() ? "" : ": " + command.note) << "\n";
    if (!command.command.empty()) std::cout << command.command << "\n";
  }
}

nlohmann::json Report(const v1::Artifact& artifact, const client::Exported& exported) {
  nlohmann::json json = {{"job", artifact.job()}, {"profile", exported.profile}, {"folder", exported.folder}};
  for (const v1::ArtifactFile& file : artifact.files()) {
    json["files"].push_back(
        {{"name", file.name()}, {"size_bytes", file.size_bytes()}, {"sha256", file.sha256()}});
  }
  for (const client::ServingCommand& command : client::ServingCommands(exported)) {
    json["commands"].push_back(
        {{"server", command.server}, {"command", command.command}, {"note", command.note}});
  }
  return json;
}

absl::Status Run(Cli& cli, ExportOptions options) {
  VN_ASSIGN_OR_RETURN(client::Client* const client, cli.client());
  VN_RETURN_IF_ERROR(Resolve(*client, options.request));
  VN_ASSIGN_OR_RETURN(v1::Job job, FindOrCreate(*client, options.request));
  if (job.state() == v1::JOB_STATE_SUCCEEDED) {
    std::cerr << job.name() << " made the same files before\n";
  } else {
    std::cerr << "exporting as " << job.name() << "\n";
    VN_ASSIGN_OR_RETURN(job, Follow(cli, job.name(), /*json_events=*/false));
  }
  if (job.state() != v1::JOB_STATE_SUCCEEDED) return ReportEnd(cli, job);
  const std::string& profile = options.request.profile;
  VN_ASSIGN_OR_RETURN(const v1::Artifact artifact, ArtifactOf(*client, job, profile));
  VN_RETURN_IF_ERROR(DownloadFiles(*client, artifact, options.to));
  client::Exported exported = {.profile = profile, .lora = options.request.lora};
  exported.folder = std::filesystem::absolute(options.to).lexically_normal().string();
  exported.folder = std::string(absl::StripSuffix(exported.folder, "/"));
  exported.name = std::filesystem::path(exported.folder).filename().string();
  VN_ASSIGN_OR_RETURN(exported.base, BaseOf(*client, options.request));
  if (profile == "peft" || profile == "serving") {
    VN_ASSIGN_OR_RETURN(exported.adapter_config,
                        ReadFile(absl::StrCat(exported.folder, "/adapter_config.json"), kMaxConfigBytes));
  }
  if (profile == "gguf" && !options.request.lora) {
    VN_ASSIGN_OR_RETURN(const storage::Gguf gguf,
                        storage::Gguf::Open(absl::StrCat(exported.folder, "/model.gguf")));
    exported.ignored_window = client::IgnoredWindow(gguf);
  }
  if (cli.json()) {
    std::cout << Report(artifact, exported).dump() << "\n";
    return absl::OkStatus();
  }
  std::cout << profile << " is in " << exported.folder << " (" << Counted(artifact.files_size(), "file")
            << ", " << HumanBytes(artifact.size_bytes()) << "); reloaded, it computes what was trained\n";
  PrintCommands(exported);
  return absl::OkStatus();
}

}  // namespace

void AddExportCommand(CLI::App& app, Cli& cli) {
  CLI::App* const command = app.add_subcommand(
      "export", "Write what was trained as files for vLLM, llama.cpp, Ollama or transformers");
  struct Words {
    std::string source, model, profile, type, to;
    bool lora = false;
  };
  const auto words = std::make_shared<Words>();
  command
      ->add_option(
          "source", words->source,
          "Job (id, prefix or name), jobs/ID/stages/STAGE, adapters/DIGEST with --model, or models/NAME")
      ->required();
  command->add_option("--profile", words->profile, "peft, serving, merged or gguf")
      ->required()
      ->check(CLI::IsMember({"peft", "serving", "merged", "gguf"}));
  command->add_option("--type", words->type, "Of gguf: f16 (default), q8_0 or f32 (default with --lora)")
      ->check(CLI::IsMember({"f32", "f16", "q8_0"}));
  command->add_flag("--lora", words->lora, "Of gguf: the adapter alone");
  command->add_option("--model", words->model, "Base of an imported adapter");
  command->add_option("--to,-o", words->to, "Folder, created when missing")->required();
  command->callback([&cli, words] {
    cli.run = [&cli, words]() -> absl::Status {
      ExportOptions options{.to = words->to};
      VN_ASSIGN_OR_RETURN(
          options.request,
          client::ReadExportRequest(words->source, words->model, words->profile, words->type, words->lora));
      return Run(cli, std::move(options));
    };
  });
}

}  // namespace vernier::cli
