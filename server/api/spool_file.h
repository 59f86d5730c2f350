// Bytes on their way into the object store: kept in a file, because their content address is known only at
// the end.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/digest.h"
#include "storage/object_store.h"

namespace vernier::server {

// The file goes when the object does. Thread-compatible.
class SpoolFile final : public storage::ByteSink {
 public:
  // A new file in `dir`. Appending past `max_bytes` is InvalidArgument, with `what` in front.
  static absl::StatusOr<std::unique_ptr<SpoolFile>> Create(const std::string& dir, absl::string_view what,
                                                           int64_t max_bytes);
  ~SpoolFile() override;

  // ResourceExhausted: the disk is full.
  absl::Status Append(absl::string_view bytes) override;
  // Call once, last.
  storage::ByteDigest Finish();
  const std::string& path() const { return path_; }

 private:
  SpoolFile(std::string path, int fd, absl::string_view what, int64_t max_bytes);

  const std::string path_;
  const int fd_;
  const std::string what_;
  const int64_t max_bytes_;
  int64_t size_bytes_ = 0;
  Sha256 digest_;
};

}  // namespace vernier::server
