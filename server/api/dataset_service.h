#pragma once

#include "server/api/calls.h"
#include "server/api/slots.h"
#include "vernier/v1/dataset_service.grpc.pb.h"

namespace vernier::server {

// vernier.v1.DatasetService: rows stream into the object store under their digest. Thread-safe.
class DatasetService final : public v1::DatasetService::CallbackService {
 public:
  static constexpr int kMaxUploads = 16;  // at once

  // `api` must outlive the service.
  explicit DatasetService(ApiContext& api) : api_(api) {}

  grpc::ServerReadReactor<v1::UploadDatasetRequest>* UploadDataset(
      grpc::CallbackServerContext* context, v1::UploadDatasetResponse* response) override;
  grpc::ServerUnaryReactor* GetDataset(grpc::CallbackServerContext* context,
                                       const v1::GetDatasetRequest* request,
                                       v1::GetDatasetResponse* response) override;
  grpc::ServerUnaryReactor* ListDatasets(grpc::CallbackServerContext* context,
                                         const v1::ListDatasetsRequest* request,
                                         v1::ListDatasetsResponse* response) override;
  grpc::ServerUnaryReactor* DeleteDataset(grpc::CallbackServerContext* context,
                                          const v1::DeleteDatasetRequest* request,
                                          v1::DeleteDatasetResponse* response) override;

 private:
  ApiContext& api_;
  Slots uploads_{"uploads", kMaxUploads};
};

}  // namespace vernier::server
