#include "server/api/artifact_service.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "server/api/adapter_upload.h"
#include "server/api/object_download.h"
#include "storage/checkpoint.h"
#include "storage/ledger.h"

namespace vernier::server {
namespace {

// The file of `artifact` that is called `name`. NotFound: lists what there is.
absl::StatusOr<storage::ManifestPart> FindFile(const v1::Artifact& artifact, const std::string& name) {
  std::vector<std::string> names;
  for (const v1::ArtifactFile& file : artifact.files()) {
    if (file.name() == name) {
      return storage::ManifestPart{
          .name = file.name(), .size_bytes = file.size_bytes(), .sha256 = file.sha256()};
    }
    names.push_back(file.name());
  }
  return absl::NotFoundError(absl::StrCat(artifact.job(), " stage \"", artifact.stage(),
                                          "\": ", artifact.name(), " has no file \"", Excerpt(name),
                                          "\"; it has ", absl::StrJoin(names, ", ")));
}

// The newest checkpoint of the stage that the request means; nullopt: none.
std::optional<v1::CheckpointInfo> NewestCheckpoint(Core& core, const v1::DownloadArtifactRequest& request) {
  const absl::StatusOr<v1::Job> job = core.GetJob(kDefaultTenant, request.job());
  if (!job.ok()) return std::nullopt;
  for (const v1::StageStatus& stage : job->stages()) {
    if (stage.id() == request.stage() && !stage.checkpoints().empty()) {
      return stage.checkpoints(stage.checkpoints_size() - 1);
    }
  }
  return std::nullopt;
}

// A checkpoint's ledger has the name and form of the one that is published at the end. Blocks.
absl::StatusOr<storage::ManifestPart> LedgerOf(storage::ObjectStore& store,
                                               const v1::CheckpointInfo& checkpoint) {
  VN_ASSIGN_OR_RETURN(const storage::Manifest manifest,
                      storage::ReadManifest(store, checkpoint.key(), storage::kCheckpointFormat,
                                            /*max_version=*/1, checkpoint.manifest_sha256()));
  const storage::ManifestPart* const part = manifest.Find(storage::kLedgerFile);
  if (part != nullptr) return *part;
  return absl::NotFoundError(
      absl::StrCat(checkpoint.key(), ": was written by a version that kept no ledger"));
}

}  // namespace

grpc::ServerUnaryReactor* ArtifactService::ListArtifacts(grpc::CallbackServerContext* context,
                                                         const v1::ListArtifactsRequest* request,
                                                         v1::ListArtifactsResponse* response) {
  return OnStrand(api_, context, request, response,
                  [](Core& core, absl::Time, const auto& request, auto& response) -> absl::Status {
                    VN_ASSIGN_OR_RETURN(std::vector<v1::Artifact> artifacts,
                                        core.ListArtifacts(kDefaultTenant, request.job()));
                    for (v1::Artifact& artifact : artifacts) *response.add_artifacts() = std::move(artifact);
                    return absl::OkStatus();
                  });
}

grpc::ServerWriteReactor<v1::DownloadArtifactResponse>* ArtifactService::DownloadArtifact(
    grpc::CallbackServerContext*, const v1::DownloadArtifactRequest* request) {
  auto download = std::make_shared<ObjectDownload<v1::DownloadArtifactResponse>>(api_.store, api_.pool);
  auto* const reactor = download->Launch();
  absl::Status status = CheckSize(*request, kMaxNamingBytes);
  if (status.ok()) {
    status = api_.strand.Post([this, download, request = *request](Core& core, absl::Time) {
      const absl::StatusOr<v1::Artifact> artifact =
          core.GetArtifact(kDefaultTenant, request.job(), request.stage(), request.name());
      if (absl::IsNotFound(artifact.status()) && request.name() == storage::kLedgerName &&
          request.file() == storage::kLedgerFile) {
        if (const auto checkpoint = NewestCheckpoint(core, request)) {
          const absl::Status posted = api_.pool.Post([this, download, checkpoint = *checkpoint] {
            absl::StatusOr<storage::ManifestPart> part = LedgerOf(api_.store, checkpoint);
            if (!part.ok()) return download->Fail(part.status());
            download->Begin(checkpoint.key(), *std::move(part));
          });
          if (!posted.ok()) download->Fail(posted);
          return;
        }
      }
      if (!artifact.ok()) return download->Fail(artifact.status());
      absl::StatusOr<storage::ManifestPart> file = FindFile(*artifact, request.file());
      if (!file.ok()) return download->Fail(file.status());
      download->Begin(artifact->key(), *std::move(file));
    });
  }
  if (!status.ok()) download->Fail(status);
  return reactor;
}

grpc::ServerReadReactor<v1::ImportAdapterRequest>* ArtifactService::ImportAdapter(
    grpc::CallbackServerContext* context, v1::ImportAdapterResponse* response) {
  absl::StatusOr<std::shared_ptr<void>> slot = uploads_.Take();
  if (!slot.ok()) return new RefusedReads<v1::ImportAdapterRequest>(slot.status());
  return new PooledReads<v1::ImportAdapterRequest, v1::ImportAdapterResponse>(
      api_.pool, std::make_unique<AdapterUpload>(api_, *std::move(slot)), response);
}

grpc::ServerWriteReactor<v1::GenerateResponse>* ArtifactService::Generate(
    grpc::CallbackServerContext*, const v1::GenerateRequest* request) {
  auto stream = std::make_shared<GenerateStream>();
  absl::Status status = CheckSize(*request, kMaxMessageBytes);
  if (status.ok()) {
    status = api_.strand.Post([this, stream, request = *request](Core& core, absl::Time now) {
      generate_streams_.Start(core, now, api_.strand, kDefaultTenant, request, stream);
    });
  }
  if (!status.ok()) stream->End(status);
  return GenerateStream::Launch(std::move(stream));
}

grpc::ServerBidiReactor<v1::ConverseRequest, v1::GenerateResponse>* ArtifactService::Converse(
    grpc::CallbackServerContext*) {
  auto stream = std::make_shared<ConverseStream>(api_.strand, generate_streams_, std::string(kDefaultTenant));
  stream->Start();
  return ConverseStream::Launch(std::move(stream));
}

}  // namespace vernier::server
