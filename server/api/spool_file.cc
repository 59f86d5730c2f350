#include "server/api/spool_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/text.h"
#include "common/unwritable.h"

namespace vernier::server {

absl::StatusOr<std::unique_ptr<SpoolFile>> SpoolFile::Create(const std::string& dir, absl::string_view what,
                                                             int64_t max_bytes) {
  std::string path = absl::StrCat(dir, "/", RandomHex(16));
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return WriteErrnoStatus(errno, absl::StrCat(what, ": cannot be stored at ", path));
  return std::unique_ptr<SpoolFile>(new SpoolFile(std::move(path), fd, what, max_bytes));
}

SpoolFile::SpoolFile(std::string path, int fd, absl::string_view what, int64_t max_bytes)
    : path_(std::move(path)), fd_(fd), what_(what), max_bytes_(max_bytes) {}

SpoolFile::~SpoolFile() {
  ::close(fd_);
  ::unlink(path_.c_str());
}

absl::Status SpoolFile::Append(absl::string_view bytes) {
  size_bytes_ += static_cast<int64_t>(bytes.size());
  if (size_bytes_ > max_bytes_) {
    return absl::InvalidArgumentError(absl::StrCat(what_, ": is larger than the limit of ",
                                                   HumanBytes(max_bytes_),
                                                   "; vernierd --max-upload-bytes raises it"));
  }
  digest_.Update(bytes);
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return WriteErrnoStatus(errno, absl::StrCat(what_, ": cannot be stored at ", path_));
    }
    bytes.remove_prefix(written);
  }
  return absl::OkStatus();
}

storage::ByteDigest SpoolFile::Finish() { return {.size_bytes = size_bytes_, .sha256 = digest_.FinishHex()}; }

}  // namespace vernier::server
