#include "client/client.h"

#include <fcntl.h>
#include <grpcpp/create_channel.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::client {
namespace {

constexpr size_t kChunkBytes = 1 << 20;
// gRPC looks after a connection while a call waits for it, and else every five seconds: calls that fail at
// once would learn that late of a service that is back.
constexpr absl::Duration kDialPatience = absl::Milliseconds(200);

std::string Environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

absl::StatusOr<std::string> ReadLine(const std::string& path) {
  VN_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 4096));
  return std::string(absl::StripAsciiWhitespace(text));
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 << 20);
  // A restarted service is dialled again within a second; a proxy has no business on the way to it.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

std::string DefaultDataDir() {
  if (const std::string dir = Environment("VERNIER_DATA_DIR"); !dir.empty()) return dir;
  if (const std::string dir = Environment("XDG_DATA_HOME"); !dir.empty()) return dir + "/vernier";
  const std::string home = Environment("HOME");
  return (home.empty() ? "/root" : home) + "/.local/share/vernier";
}

absl::StatusOr<Endpoint> FindEndpoint(const std::string& data_dir) {
  Endpoint endpoint{Environment("VERNIER_ADDR"), Environment("VERNIER_TOKEN")};
  if (endpoint.address.empty()) {
    auto address = ReadLine(data_dir + "/endpoint");
    if (!address.ok()) {
      return absl::UnavailableError(absl::StrCat(
          "no Vernier service runs with data dir ", data_dir,
          "; start one with `vernier up`, or name one with --data-dir or $VERNIER_ADDR and $VERNIER_TOKEN"));
    }
    endpoint.address = *std::move(address);
  }
  if (endpoint.token.empty()) {
    auto token = ReadLine(data_dir + "/token");
    if (!token.ok()) {
      return absl::UnauthenticatedError(absl::StrCat(
          "no access token for the service at ", endpoint.address, " (", token.status().message(),
          "); set $VERNIER_TOKEN, or name the service's data dir with --data-dir"));
    }
    endpoint.token = *std::move(token);
  }
  return endpoint;
}

Client::Client(Endpoint endpoint)
    : endpoint_(std::move(endpoint)),
      channel_(MakeChannel(endpoint_.address)),
      jobs_(v1::JobService::NewStub(channel_)),
      datasets_(v1::DatasetService::NewStub(channel_)),
      models_(v1::ModelService::NewStub(channel_)),
      artifacts_(v1::ArtifactService::NewStub(channel_)),
      admin_(v1::AdminService::NewStub(channel_)) {}

void Client::Prepare(grpc::ClientContext& context, absl::Duration timeout) const {
  channel_->WaitForConnected(absl::ToChronoTime(absl::Now() + kDialPatience));
  context.AddMetadata("authorization", absl::StrCat("Bearer ", endpoint_.token));
  if (timeout != absl::InfiniteDuration()) context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
}

absl::Status Client::Explain(absl::Status status) const {
  if (!absl::IsUnavailable(status)) return status;
  return absl::UnavailableError(
      absl::StrCat("cannot reach the Vernier service at ", endpoint_.address, " (", status.message(), ")"));
}

absl::Status Client::WatchJob(const std::string& name, int64_t after_sequence,
                              const std::function<bool(const v1::WatchJobResponse&)>& on_response,
                              absl::Duration patience) {
  absl::Time give_up = absl::Now() + patience;
  while (true) {
    grpc::ClientContext context;
    Prepare(context, absl::InfiniteDuration());
    // Waits for a service that is being restarted, but not for ever: the deadline is the watcher's own
    // patience.
    if (!channel_->WaitForConnected(absl::ToChronoTime(give_up))) {
      return Explain(absl::UnavailableError("no answer"));
    }
    v1::WatchJobRequest request;
    request.set_name(name);
    request.set_after_sequence(after_sequence);
    const auto reader = jobs_->WatchJob(&context, request);
    v1::WatchJobResponse response;
    bool wanted = true;
    while (wanted && reader->Read(&response)) {
      if (response.has_event()) after_sequence = std::max(after_sequence, response.event().sequence());
      give_up = absl::Now() + patience;
      wanted = on_response(response);
    }
    if (!wanted) {
      context.TryCancel();
      reader->Finish();
      return absl::OkStatus();
    }
    const absl::Status status = FromGrpc(reader->Finish());
    if (!absl::IsUnavailable(status) || absl::Now() > give_up) return Explain(status);
  }
}

absl::StatusOr<std::vector<v1::JobEvent>> Client::StoredEvents(const std::string& name) {
  grpc::ClientContext context;
  Prepare(context, absl::Seconds(60));
  v1::WatchJobRequest request;
  request.set_name(name);
  request.set_until_now(true);
  const auto reader = jobs_->WatchJob(&context, request);
  std::vector<v1::JobEvent> events;
  v1::WatchJobResponse response;
  while (reader->Read(&response)) {
    // A live one tells of progress and is not stored.
    if (response.has_event() && response.event().sequence() > 0) events.push_back(response.event());
  }
  const absl::Status status = FromGrpc(reader->Finish());
  if (!status.ok()) return Explain(status);
  return events;
}

absl::Status Client::StreamMetrics(const v1::StreamMetricsRequest& request,
                                   const std::function<bool(const v1::MetricPoint&)>& on_point) {
  grpc::ClientContext context;
  Prepare(context, request.follow() ? absl::InfiniteDuration() : absl::Seconds(60));
  const auto reader = jobs_->StreamMetrics(&context, request);
  v1::StreamMetricsResponse response;
  while (reader->Read(&response)) {
    for (const v1::MetricPoint& point : response.points()) {
      if (on_point(point)) continue;
      context.TryCancel();
      reader->Finish();
      return absl::OkStatus();
    }
  }
  return Explain(FromGrpc(reader->Finish()));
}

absl::StatusOr<v1::UploadDatasetResponse> Client::UploadDataset(const std::string& path,
                                                                const std::string& name,
                                                                const OnBytes& progress,
                                                                const std::string& sha256) {
  VN_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const absl::string_view bytes = file.bytes();
  grpc::ClientContext context;
  Prepare(context, absl::InfiniteDuration());
  v1::UploadDatasetResponse response;
  const auto writer = datasets_->UploadDataset(&context, &response);
  v1::UploadDatasetRequest request;
  const std::filesystem::path file_path(path);
  request.mutable_header()->set_name(name);
  request.mutable_header()->set_filename(file_path.filename().string());
  request.mutable_header()->set_sha256(sha256.empty() ? Sha256Hex(bytes) : sha256);
  bool open = writer->Write(request);
  for (size_t offset = 0; open && offset < bytes.size(); offset += kChunkBytes) {
    request.set_chunk(std::string(bytes.substr(offset, kChunkBytes)));
    open = writer->Write(request);
    if (progress)
      progress(static_cast<int64_t>(std::min(offset + kChunkBytes, bytes.size())),
               static_cast<int64_t>(bytes.size()));
  }
  writer->WritesDone();
  const absl::Status status = FromGrpc(writer->Finish());
  if (!status.ok()) return Explain(status);  // names the file already
  return response;
}

absl::StatusOr<v1::Model> Client::ImportModel(
    const std::string& path, const std::string& name,
    const std::function<void(double fraction, const std::string& phase)>& on_progress) {
  grpc::ClientContext context;
  Prepare(context, absl::InfiniteDuration());
  v1::ImportModelRequest request;
  request.set_path(path);
  request.set_name(name);
  const auto reader = models_->ImportModel(&context, request);
  v1::ImportModelResponse response;
  v1::Model model;
  while (reader->Read(&response)) {
    if (response.has_model()) model = response.model();
    if (on_progress) on_progress(response.fraction(), response.phase());
  }
  const absl::Status status = FromGrpc(reader->Finish());
  if (!status.ok()) return Explain(status);
  return model;
}

absl::StatusOr<std::string> Client::ModelFile(const std::string& model, const std::string& file) {
  grpc::ClientContext context;
  Prepare(context, absl::Minutes(5));
  v1::GetModelFileRequest request;
  request.set_name(model);
  request.set_file(file);
  const auto reader = models_->GetModelFile(&context, request);
  std::string bytes;
  v1::GetModelFileResponse response;
  while (reader->Read(&response)) bytes += response.chunk();
  const absl::Status status = FromGrpc(reader->Finish());
  if (!status.ok()) return Explain(status);
  return bytes;
}

absl::Status Client::DownloadArtifact(const v1::Artifact& artifact, const v1::ArtifactFile& file,
                                      const std::string& path) {
  grpc::ClientContext context;
  Prepare(context, absl::InfiniteDuration());
  v1::DownloadArtifactRequest request;
  request.set_job(artifact.job());
  request.set_stage(artifact.stage());
  request.set_name(artifact.name());
  request.set_file(file.name());
  const std::string partial = path + ".partial";
  std::ofstream out(partial, std::ios::binary | std::ios::trunc);
  if (!out) return absl::PermissionDeniedError(absl::StrCat(partial, ": cannot be written"));
  const auto reader = artifacts_->DownloadArtifact(&context, request);
  Sha256 hash;
  v1::DownloadArtifactResponse response;
  while (reader->Read(&response)) {
    hash.Update(response.chunk());
    out.write(response.chunk().data(), static_cast<std::streamsize>(response.chunk().size()));
  }
  const absl::Status status = FromGrpc(reader->Finish());
  out.close();
  if (!status.ok()) return Annotate(Explain(status), file.name());
  if (!out)
    return absl::ResourceExhaustedError(absl::StrCat(partial, ": could not be written; is the disk full?"));
  if (hash.FinishHex() != file.sha256()) {
    return absl::DataLossError(
        absl::StrCat(path, ": arrived with another digest than ", file.sha256(), "; try again"));
  }
  if (::rename(partial.c_str(), path.c_str()) != 0) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

absl::StatusOr<std::string> Client::ArtifactFile(const std::string& job, const std::string& stage,
                                                 const std::string& artifact, const std::string& file,
                                                 int64_t max_bytes) {
  grpc::ClientContext context;
  Prepare(context, absl::InfiniteDuration());
  v1::DownloadArtifactRequest request;
  request.set_job(job);
  request.set_stage(stage);
  request.set_name(artifact);
  request.set_file(file);
  const auto reader = artifacts_->DownloadArtifact(&context, request);
  std::string bytes;
  v1::DownloadArtifactResponse response;
  while (reader->Read(&response)) {
    bytes += response.chunk();
    if (static_cast<int64_t>(bytes.size()) <= max_bytes) continue;
    context.TryCancel();
    reader->Finish();
    return absl::ResourceExhaustedError(absl::StrCat(job, " stage \"", stage, "\": ", file, " has more than ",
                                                     HumanBytes(max_bytes),
                                                     "; pull it with `vernier adapters pull`"));
  }
  const absl::Status status = FromGrpc(reader->Finish());
  if (!status.ok()) return Explain(status);
  return bytes;
}

absl::StatusOr<std::string> Client::ImportAdapter(const std::string& folder) {
  grpc::ClientContext context;
  Prepare(context, absl::InfiniteDuration());
  v1::ImportAdapterResponse response;
  const auto writer = artifacts_->ImportAdapter(&context, &response);
  for (const char* const name : {"adapter_config.json", "adapter_model.safetensors"}) {
    const auto file = MappedFile::Open(absl::StrCat(folder, "/", name));
    if (!file.ok()) {
      context.TryCancel();
      writer->Finish();
      return Annotate(file.status(), "not a PEFT folder");
    }
    v1::ImportAdapterRequest request;
    request.set_file(name);
    bool open = writer->Write(request);
    for (size_t offset = 0; open && offset < file->bytes().size(); offset += kChunkBytes) {
      request.set_chunk(std::string(file->bytes().substr(offset, kChunkBytes)));
      open = writer->Write(request);
    }
  }
  writer->WritesDone();
  const absl::Status status = FromGrpc(writer->Finish());
  if (!status.ok()) return Explain(status);
  return response.adapter();
}

absl::Status Client::Generate(const v1::GenerateRequest& request,
                              const std::function<void(const v1::GenerateResponse&)>& on_piece) {
  grpc::ClientContext context;
  Prepare(context, absl::InfiniteDuration());
  const auto reader = artifacts_->Generate(&context, request);
  v1::GenerateResponse response;
  while (reader->Read(&response)) on_piece(response);
  return Explain(FromGrpc(reader->Finish()));
}

std::unique_ptr<Conversation> Client::Converse() {
  auto context = std::make_unique<grpc::ClientContext>();
  Prepare(*context, absl::InfiniteDuration());
  auto stream = artifacts_->Converse(context.get());
  return std::make_unique<Conversation>(std::move(context), std::move(stream));
}

absl::Status Client::WaitReady(absl::Time deadline) {
  if (!channel_->WaitForConnected(absl::ToChronoTime(deadline))) {
    return Explain(absl::UnavailableError("no answer"));
  }
  return Call(&v1::AdminService::Stub::GetServerInfo, v1::GetServerInfoRequest(), deadline - absl::Now())
      .status();
}

}  // namespace vernier::client
