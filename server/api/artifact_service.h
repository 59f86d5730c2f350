#pragma once

#include "server/api/calls.h"
#include "server/api/generate_streams.h"
#include "server/api/slots.h"
#include "vernier/v1/artifact_service.grpc.pb.h"

namespace vernier::server {

// vernier.v1.ArtifactService: what stages published, adapters from elsewhere, and text made with either.
// Thread-safe.
class ArtifactService final : public v1::ArtifactService::CallbackService {
 public:
  static constexpr int kMaxUploads = 8;  // of adapters, at once

  // Both must outlive the service.
  ArtifactService(ApiContext& api, GenerateStreams& streams) : api_(api), generate_streams_(streams) {}

  grpc::ServerUnaryReactor* ListArtifacts(grpc::CallbackServerContext* context,
                                          const v1::ListArtifactsRequest* request,
                                          v1::ListArtifactsResponse* response) override;
  grpc::ServerWriteReactor<v1::DownloadArtifactResponse>* DownloadArtifact(
      grpc::CallbackServerContext* context, const v1::DownloadArtifactRequest* request) override;
  grpc::ServerReadReactor<v1::ImportAdapterRequest>* ImportAdapter(
      grpc::CallbackServerContext* context, v1::ImportAdapterResponse* response) override;
  grpc::ServerWriteReactor<v1::GenerateResponse>* Generate(grpc::CallbackServerContext* context,
                                                           const v1::GenerateRequest* request) override;
  grpc::ServerBidiReactor<v1::ConverseRequest, v1::GenerateResponse>* Converse(
      grpc::CallbackServerContext* context) override;

 private:
  ApiContext& api_;
  GenerateStreams& generate_streams_;
  Slots uploads_{"uploads of adapters", kMaxUploads};
};

}  // namespace vernier::server
