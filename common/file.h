// Whole small files and durable replacement. Bulk data goes through storage/.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace vernier {

// errno as a Status: ENOENT NotFound, EEXIST AlreadyExists, EACCES/EPERM/EROFS PermissionDenied,
// ENOSPC/EDQUOT ResourceExhausted, EINVAL InvalidArgument, others Unavailable. `what` starts the message.
absl::Status ErrnoStatus(int error, absl::string_view what);

// NotFound: no such file. ResourceExhausted: larger than `max_bytes`.
absl::StatusOr<std::string> ReadFile(const std::string& path, int64_t max_bytes = int64_t{1} << 30);

// Replaces `path` as one step: written beside it, flushed to disk, renamed. `mode` as chmod takes it.
absl::Status WriteFileAtomic(const std::string& path, absl::string_view contents, int mode = 0644);

// Creates the folder and its parents.
absl::Status MakeDirs(const std::string& path, int mode = 0755);

// A read-only memory map of a file. Movable. The bytes stay valid while the object lives.
class MappedFile {
 public:
  static absl::StatusOr<MappedFile> Open(const std::string& path);
  MappedFile() = default;
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  absl::string_view bytes() const { return {data_, size_}; }

 private:
  const char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace vernier
