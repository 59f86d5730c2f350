// Objects in memory, for tests and `memory:`.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "storage/object_store.h"

namespace vernier::storage {

// Thread-safe.
class MemoryStore final : public ObjectStore {
 public:
  absl::StatusOr<std::unique_ptr<ObjectWriter>> OpenWriter(absl::string_view key, WriteMode mode) override;
  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset, int64_t length) override;
  absl::StatusOr<ObjectInfo> Head(absl::string_view key) override;
  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix, absl::string_view start_after,
                                               int limit) override;
  absl::Status Delete(absl::string_view key) override;
  std::optional<std::string> LocalPath(absl::string_view) override { return std::nullopt; }
  std::string Uri() const override { return "memory:"; }

 private:
  class Writer;
  struct Object {
    std::shared_ptr<const std::string> bytes;  // shared with reads that run outside the lock
    absl::Time modify_time;
  };

  absl::Status Commit(const std::string& key, std::string bytes, WriteMode mode) VN_EXCLUDES(mutex_);

  Mutex mutex_;
  std::map<std::string, Object, std::less<>> objects_ VN_GUARDED_BY(mutex_);
};

}  // namespace vernier::storage
