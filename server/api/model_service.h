#pragma once

#include <string>
#include <vector>

#include "server/api/calls.h"
#include "server/api/slots.h"
#include "storage/model_import.h"
#include "vernier/v1/model_service.grpc.pb.h"

namespace vernier::server {

// vernier.v1.ModelService: base models that lie on the server become objects. Thread-safe.
class ModelService final : public v1::ModelService::CallbackService {
 public:
  static constexpr int kMaxImports = 2;  // at once: each reads and writes whole models

  struct Options {
    std::vector<std::string> import_roots;  // folders; empty: imports are refused
    storage::TokenizerFromGguf tokenizer_from_gguf;
    storage::TokenizerFromFolder tokenizer_from_folder;
  };
  // `api` must outlive the service.
  ModelService(ApiContext& api, Options options) : api_(api), options_(std::move(options)) {}

  grpc::ServerWriteReactor<v1::ImportModelResponse>* ImportModel(
      grpc::CallbackServerContext* context, const v1::ImportModelRequest* request) override;
  grpc::ServerUnaryReactor* GetModel(grpc::CallbackServerContext* context, const v1::GetModelRequest* request,
                                     v1::GetModelResponse* response) override;
  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext* context,
                                       const v1::ListModelsRequest* request,
                                       v1::ListModelsResponse* response) override;
  grpc::ServerUnaryReactor* DeleteModel(grpc::CallbackServerContext* context,
                                        const v1::DeleteModelRequest* request,
                                        v1::DeleteModelResponse* response) override;
  grpc::ServerWriteReactor<v1::GetModelFileResponse>* GetModelFile(
      grpc::CallbackServerContext* context, const v1::GetModelFileRequest* request) override;

 private:
  ApiContext& api_;
  const Options options_;
  Slots imports_{"imports", kMaxImports};
};

// The root that `path` lies below once links are followed. PermissionDenied: none, with how to allow it.
// NotFound.
absl::StatusOr<std::string> ImportRootOf(const std::string& path, const std::vector<std::string>& roots);

}  // namespace vernier::server
