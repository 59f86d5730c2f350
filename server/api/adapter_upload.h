// One upload of a PEFT folder: spooled, checked, then stored under its digest as an artifact of no job.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "server/api/calls.h"
#include "server/api/spool_file.h"
#include "server/api/streams.h"
#include "storage/manifest.h"
#include "vernier/v1/artifact_service.pb.h"

namespace vernier::server {

// Thread-compatible.
class AdapterUpload final : public StreamSink<v1::ImportAdapterRequest, v1::ImportAdapterResponse> {
 public:
  // `slot` is held as long as the upload. `api` must outlive it.
  AdapterUpload(ApiContext& api, std::shared_ptr<void> slot) : api_(api), slot_(std::move(slot)) {}

  absl::Status Take(const v1::ImportAdapterRequest& request) override;
  absl::Status Finish(v1::ImportAdapterResponse& response) override;

 private:
  absl::Status StartFile(const std::string& name);
  absl::Status Check() const;
  absl::Status Store(const std::string& folder, const storage::Manifest& manifest) const;

  ApiContext& api_;
  const std::shared_ptr<void> slot_;
  std::map<std::string, std::unique_ptr<SpoolFile>> files_;
  SpoolFile* open_ = nullptr;  // of files_: where chunks go
};

}  // namespace vernier::server
