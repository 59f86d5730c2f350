// One process at a time: an exclusive lock on a file, held until the object or the process dies.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace vernier {

// Movable.
class FileLock {
 public:
  // Creates the file (0600) with this process's pid in it. FailedPrecondition: another process holds the
  // lock; the message says "`what` (process 123)" so that a user can find it.
  static absl::StatusOr<FileLock> Acquire(const std::string& path, absl::string_view what);
  // The pid of the process that holds the lock on `path`; NotFound: nobody does.
  static absl::StatusOr<pid_t> Holder(const std::string& path);

  ~FileLock();
  FileLock(FileLock&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}
  FileLock& operator=(FileLock&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(fd_, other.fd_);
    return *this;
  }
  // Puts the pid of the calling process into the file: after a fork the child holds the lock too.
  absl::Status WritePid() const;

 private:
  FileLock(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::string path_;
  int fd_ = -1;
};

}  // namespace vernier
