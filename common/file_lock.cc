#include "common/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/unwritable.h"

namespace vernier {
namespace {

pid_t PidIn(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path, 64);
  int pid = 0;
  return text.ok() && absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &pid) ? pid : 0;
}

}  // namespace

absl::StatusOr<FileLock> FileLock::Acquire(const std::string& path, absl::string_view what) {
  FileLock lock(path, ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.fd_ < 0) return ErrnoStatus(errno, path);
  if (::flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, path);
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": held by ", what, " (process ", PidIn(path), ")"));
  }
  VN_RETURN_IF_ERROR(lock.WritePid());
  return lock;
}

absl::Status FileLock::WritePid() const {
  const std::string text = absl::StrCat(::getpid(), "\n");
  if (::ftruncate(fd_, 0) != 0 ||
      ::pwrite(fd_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    return WriteErrnoStatus(errno, path_);
  }
  return absl::OkStatus();
}

absl::StatusOr<pid_t> FileLock::Holder(const std::string& path) {
  const FileLock probe(path, ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (probe.fd_ < 0) return ErrnoStatus(errno, path);
  if (::flock(probe.fd_, LOCK_SH | LOCK_NB) == 0) {
    return absl::NotFoundError(absl::StrCat(path, ": nobody holds this lock"));
  }
  if (errno != EWOULDBLOCK) return ErrnoStatus(errno, path);
  const pid_t pid = PidIn(path);
  if (pid <= 0)
    return absl::UnavailableError(absl::StrCat(path, ": held by a process that is just starting"));
  return pid;
}

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace vernier
