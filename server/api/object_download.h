// Streams an object to a client in chunks, and checks its digest on the way.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "server/api/streams.h"
#include "server/worker_pool.h"
#include "storage/manifest.h"
#include "storage/object_store.h"

namespace vernier::server {

inline constexpr int64_t kChunkBytes = int64_t{1} << 20;

// One download: one chunk in memory at a time, read on the pool whenever the last one is out, so a slow
// client holds no thread. `Response` has a `chunk`. Thread-safe.
template <typename Response>
class ObjectDownload final : public std::enable_shared_from_this<ObjectDownload<Response>> {
 public:
  // Both must outlive the server.
  ObjectDownload(storage::ObjectStore& store, WorkerPool& pool) : store_(store), pool_(pool) {}

  // What the handler returns; then Begin, or Fail.
  grpc::ServerWriteReactor<Response>* Launch() {
    stream_->OnDrained([self = this->shared_from_this()] { self->ReadNext(); });
    return ServerStream<Response>::Launch(stream_);
  }
  // Sends the object `<folder>/<part.name>`. DataLoss ends the stream when the object is not what `part`
  // promises. `explain` has the last word on an error of the store: whose object it is, and what to do.
  void Begin(absl::string_view folder, storage::ManifestPart part,
             std::function<absl::Status(const absl::Status&)> explain = nullptr) {
    part_ = std::move(part);
    explain_ = std::move(explain);
    key_ = absl::StrCat(folder, "/", part_.name);
    ReadNext();
  }
  void Fail(const absl::Status& status) { stream_->End(status); }

 private:
  void ReadNext() {
    const absl::Status posted = pool_.Post([self = this->shared_from_this()] { self->Read(); });
    if (!posted.ok()) Fail(posted);
  }

  void Read() {
    if (offset_ >= part_.size_bytes) {
      const bool whole = offset_ == part_.size_bytes && digest_.FinishHex() == part_.sha256;
      return Fail(whole ? absl::OkStatus() : Explained(Damaged()));
    }
    absl::StatusOr<std::string> bytes =
        store_.GetRange(key_, offset_, std::min(kChunkBytes, part_.size_bytes - offset_));
    if (!bytes.ok()) return Fail(Explained(bytes.status()));
    if (bytes->empty()) return Fail(Explained(Damaged()));
    digest_.Update(*bytes);
    offset_ += static_cast<int64_t>(bytes->size());
    Response response;
    response.set_chunk(*std::move(bytes));
    stream_->Write(std::move(response));
  }

  absl::Status Explained(const absl::Status& status) const { return explain_ ? explain_(status) : status; }

  absl::Status Damaged() const {
    return absl::DataLossError(
        absl::StrCat(key_, ": the stored bytes are not those that its manifest promises"));
  }

  storage::ObjectStore& store_;
  WorkerPool& pool_;
  const std::shared_ptr<ServerStream<Response>> stream_ = std::make_shared<ServerStream<Response>>();
  // Set by Begin, then touched by one read at a time.
  storage::ManifestPart part_;
  std::function<absl::Status(const absl::Status&)> explain_;
  std::string key_;
  int64_t offset_ = 0;
  Sha256 digest_;
};

}  // namespace vernier::server
