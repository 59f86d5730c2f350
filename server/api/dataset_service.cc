#include "server/api/dataset_service.h"

#include <memory>
#include <utility>

#include "server/api/dataset_upload.h"

namespace vernier::server {

grpc::ServerReadReactor<v1::UploadDatasetRequest>* DatasetService::UploadDataset(
    grpc::CallbackServerContext* context, v1::UploadDatasetResponse* response) {
  absl::StatusOr<std::shared_ptr<void>> slot = uploads_.Take();
  if (!slot.ok()) return new RefusedReads<v1::UploadDatasetRequest>(slot.status());
  return new PooledReads<v1::UploadDatasetRequest, v1::UploadDatasetResponse>(
      api_.pool, std::make_unique<DatasetUpload>(api_, *std::move(slot)), response);
}

grpc::ServerUnaryReactor* DatasetService::GetDataset(grpc::CallbackServerContext* context,
                                                     const v1::GetDatasetRequest* request,
                                                     v1::GetDatasetResponse* response) {
  return OnStrand(api_, context, request, response,
                  [](Core& core, absl::Time, const auto& request, auto& response) {
                    return Store(core.GetDataset(kDefaultTenant, request.name()), response.mutable_dataset());
                  });
}

grpc::ServerUnaryReactor* DatasetService::ListDatasets(grpc::CallbackServerContext* context,
                                                       const v1::ListDatasetsRequest* request,
                                                       v1::ListDatasetsResponse* response) {
  return OnStrand(api_, context, request, response,
                  [](Core& core, absl::Time, const auto& request, auto& response) {
                    return Store(core.ListDatasets(kDefaultTenant, request), &response);
                  });
}

grpc::ServerUnaryReactor* DatasetService::DeleteDataset(grpc::CallbackServerContext* context,
                                                        const v1::DeleteDatasetRequest* request,
                                                        v1::DeleteDatasetResponse* response) {
  return OnStrand(api_, context, request, response, [](Core& core, absl::Time, const auto& request, auto&) {
    return core.DeleteDataset(kDefaultTenant, request.name());
  });
}

}  // namespace vernier::server
