#include "server/metered_store.h"

#include <utility>

#include "common/status_macros.h"

namespace vernier::server {
namespace {

// "file" of "file:///var/lib/vernier/objects".
std::string Backend(const storage::ObjectStore& store) {
  const std::string uri = store.Uri();
  return uri.substr(0, uri.find(':'));
}

}  // namespace

class MeteredStore::Writer final : public storage::ObjectWriter {
 public:
  Writer(std::unique_ptr<storage::ObjectWriter> writer, prometheus::Counter& bytes)
      : writer_(std::move(writer)), bytes_(bytes) {}
  absl::Status Append(absl::string_view bytes) override {
    bytes_.Increment(static_cast<double>(bytes.size()));
    return writer_->Append(bytes);
  }
  absl::StatusOr<storage::ByteDigest> Finish() override { return writer_->Finish(); }

 private:
  const std::unique_ptr<storage::ObjectWriter> writer_;
  prometheus::Counter& bytes_;
};

MeteredStore::MeteredStore(std::unique_ptr<storage::ObjectStore> store, Metrics& metrics)
    : store_(std::move(store)),
      read_bytes_(metrics.TransferredBytes("read", Backend(*store_))),
      written_bytes_(metrics.TransferredBytes("write", Backend(*store_))) {}

absl::StatusOr<std::unique_ptr<storage::ObjectWriter>> MeteredStore::OpenWriter(absl::string_view key,
                                                                                storage::WriteMode mode) {
  VN_ASSIGN_OR_RETURN(std::unique_ptr<storage::ObjectWriter> writer, store_->OpenWriter(key, mode));
  return std::make_unique<Writer>(std::move(writer), written_bytes_);
}

absl::StatusOr<std::string> MeteredStore::GetRange(absl::string_view key, int64_t offset, int64_t length) {
  VN_ASSIGN_OR_RETURN(std::string bytes, store_->GetRange(key, offset, length));
  read_bytes_.Increment(static_cast<double>(bytes.size()));
  return bytes;
}

}  // namespace vernier::server
