#include "worker/data/store_io.h"

namespace vernier::data {
namespace {

class StoreBlobs final : public Blobs {
 public:
  explicit StoreBlobs(storage::ObjectStore& store) : store_(store) {}

  absl::StatusOr<int64_t> Size(const std::string& key) override {
    absl::StatusOr<storage::ObjectInfo> info = store_.Head(key);
    if (!info.ok()) return info.status();
    return info->size_bytes;
  }
  absl::StatusOr<std::string> ReadAt(const std::string& key, int64_t offset, int64_t max_bytes) override {
    return store_.GetRange(key, offset, max_bytes);
  }
  absl::Status Put(const std::string& key, absl::string_view bytes) override {
    return store_.Put(key, bytes);
  }
  absl::Status PutOnce(const std::string& key, absl::string_view bytes) override {
    return store_.PutIfAbsent(key, bytes);
  }
  absl::StatusOr<std::unique_ptr<storage::ObjectWriter>> OpenWriter(const std::string& key) override {
    return store_.OpenWriter(key, storage::WriteMode::kReplace);
  }
  absl::Status Delete(const std::string& key) override { return store_.Delete(key); }
  std::string LocalPath(const std::string& key) override { return store_.LocalPath(key).value_or(""); }

 private:
  storage::ObjectStore& store_;
};

}  // namespace

std::unique_ptr<Blobs> BlobsOf(storage::ObjectStore& store) { return std::make_unique<StoreBlobs>(store); }

}  // namespace vernier::data
