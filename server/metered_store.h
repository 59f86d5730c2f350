// An object store that counts the bytes going through it: vernier_storage_transferred_bytes_total.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/metrics.h"
#include "storage/object_store.h"

namespace vernier::server {

// Thread-safe. Files that are mapped through LocalPath are not counted.
class MeteredStore final : public storage::ObjectStore {
 public:
  // `metrics` must outlive the store.
  MeteredStore(std::unique_ptr<storage::ObjectStore> store, Metrics& metrics);

  absl::StatusOr<std::unique_ptr<storage::ObjectWriter>> OpenWriter(absl::string_view key,
                                                                    storage::WriteMode mode) override;
  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset, int64_t length) override;
  absl::StatusOr<storage::ObjectInfo> Head(absl::string_view key) override { return store_->Head(key); }
  absl::StatusOr<std::vector<storage::ObjectInfo>> List(absl::string_view prefix,
                                                        absl::string_view start_after, int limit) override {
    return store_->List(prefix, start_after, limit);
  }
  absl::Status Delete(absl::string_view key) override { return store_->Delete(key); }
  std::optional<std::string> LocalPath(absl::string_view key) override { return store_->LocalPath(key); }
  std::string Uri() const override { return store_->Uri(); }

 private:
  class Writer;
  const std::unique_ptr<storage::ObjectStore> store_;
  prometheus::Counter& read_bytes_;
  prometheus::Counter& written_bytes_;
};

}  // namespace vernier::server
