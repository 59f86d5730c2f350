// One upload of rows: spooled, hashed and looked at while it streams in, then stored under its digest and
// registered.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "server/api/calls.h"
#include "server/api/row_scan.h"
#include "server/api/spool_file.h"
#include "server/api/streams.h"
#include "vernier/v1/dataset_service.pb.h"

namespace vernier::server {

// Thread-compatible.
class DatasetUpload final : public StreamSink<v1::UploadDatasetRequest, v1::UploadDatasetResponse> {
 public:
  // `slot` is held as long as the upload. `api` must outlive it.
  DatasetUpload(ApiContext& api, std::shared_ptr<void> slot) : api_(api), slot_(std::move(slot)) {}

  absl::Status Take(const v1::UploadDatasetRequest& request) override;
  absl::Status Finish(v1::UploadDatasetResponse& response) override;
  // The header named content that is here already.
  bool done() const override { return known_.has_value(); }

 private:
  absl::Status TakeHeader(const v1::UploadHeader& header);
  absl::Status TakeChunk(absl::string_view chunk);
  // Whether its bytes are in the store, as far as anybody knows undamaged: else the upload mends them.
  absl::StatusOr<bool> IsStored(const v1::Dataset& known);
  absl::Status Store(const v1::Dataset& dataset);
  absl::Status RegisterKnown(v1::UploadDatasetResponse& response);
  // What messages call the upload: the file's name, else the dataset's.
  std::string What() const;

  ApiContext& api_;
  const std::shared_ptr<void> slot_;
  std::optional<v1::UploadHeader> header_;
  std::optional<v1::Dataset> known_;
  std::unique_ptr<SpoolFile> file_;
  RowScan rows_;
};

}  // namespace vernier::server
