#include "tests/testing/service.h"

#include <signal.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace vernier {
namespace {

bool Ended(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED ||
         state == v1::JOB_STATE_CANCELLED;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Service>> Service::Start(Options options) {
  std::unique_ptr<Service> service(new Service(std::move(options)));
  const Options& o = service->options_;
  std::vector<std::string> arguments = {absl::StrCat(VERNIER_BIN_DIR, "/vernier"),
                                        "--data-dir",
                                        o.data_dir,
                                        "up",
                                        "--threads",
                                        absl::StrCat(o.threads)};
  for (const std::string& root : o.import_roots) arguments.insert(arguments.end(), {"--import-root", root});
  arguments.insert(arguments.end(), o.up_flags.begin(), o.up_flags.end());
  VN_RETURN_IF_ERROR(MakeDirs(o.data_dir, 0700));
  const std::string log_path =
      absl::StrCat(o.log_dir.empty() ? o.data_dir : o.log_dir, "/up-", RandomHex(4), ".log");
  VN_ASSIGN_OR_RETURN(service->up_, TestProcess::Start(arguments, log_path, o.environment));
  VN_RETURN_IF_ERROR(service->up_->AwaitOutput("is ready at"));
  VN_ASSIGN_OR_RETURN(client::Endpoint endpoint, client::FindEndpoint(o.data_dir));
  service->client_ = std::make_unique<client::Client>(std::move(endpoint));
  return service;
}

absl::StatusOr<int> Service::Stop() {
  up_->Signal(SIGTERM);
  return up_->AwaitExit(absl::Minutes(1));
}

absl::StatusOr<pid_t> Service::FindProcess(absl::string_view name) const {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    int pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    const auto text = ReadFile(entry.path().string() + "/cmdline", 1 << 16);
    if (!text.ok()) continue;  // gone meanwhile, or not ours to read
    const std::vector<std::string> arguments = absl::StrSplit(*text, '\0');
    if (std::filesystem::path(arguments[0]).filename() != std::string(name)) continue;
    if (absl::StrContains(*text, options_.data_dir)) return pid;
  }
  return absl::NotFoundError(absl::StrCat("no ", name, " runs for ", options_.data_dir));
}

absl::StatusOr<std::string> Service::Submit(const v1::JobSpec& spec) {
  v1::CreateJobRequest request;
  *request.mutable_spec() = spec;
  request.set_request_id(RandomHex(8));
  VN_ASSIGN_OR_RETURN(const v1::CreateJobResponse response,
                      client_->Call(&v1::JobService::Stub::CreateJob, request));
  return response.job().name();
}

absl::StatusOr<v1::Job> Service::GetJob(const std::string& name) {
  v1::GetJobRequest request;
  request.set_name(name);
  VN_ASSIGN_OR_RETURN(const v1::GetJobResponse response,
                      client_->Call(&v1::JobService::Stub::GetJob, request));
  return response.job();
}

absl::StatusOr<v1::Job> Service::AwaitEnd(const std::string& name, absl::Duration patience) {
  v1::Job job;
  VN_RETURN_IF_ERROR(AwaitCondition(
      absl::StrCat(name, " to end"),
      [&] {
        const auto now = GetJob(name);
        if (!now.ok()) return false;  // vernierd is being restarted
        job = *now;
        return Ended(job.state());
      },
      patience));
  return job;
}

std::string Service::Logs() const {
  std::string logs;
  std::error_code error;
  for (const char* const folder : {"/logs", "/agent/logs"}) {
    for (const auto& entry : std::filesystem::directory_iterator(options_.data_dir + folder, error)) {
      const auto text = ReadFile(entry.path().string());
      if (text.ok()) absl::StrAppend(&logs, "--- ", entry.path().string(), "\n", *text);
    }
  }
  return logs;
}

absl::StatusOr<std::string> ArtifactDigest(client::Client& client, const std::string& job,
                                           absl::string_view file) {
  v1::ListArtifactsRequest request;
  request.set_job(job);
  VN_ASSIGN_OR_RETURN(const v1::ListArtifactsResponse response,
                      client.Call(&v1::ArtifactService::Stub::ListArtifacts, request));
  for (const v1::Artifact& artifact : response.artifacts()) {
    for (const v1::ArtifactFile& part : artifact.files()) {
      if (part.name() == file) return part.sha256();
    }
  }
  return absl::NotFoundError(absl::StrCat(job, " has published no ", file));
}

}  // namespace vernier
