#include "tests/integration/faults/small_disk.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace vernier {

absl::StatusOr<std::unique_ptr<SmallDisk>> SmallDisk::Mount(const std::string& path, int64_t size_bytes) {
  VN_RETURN_IF_ERROR(MakeDirs(path));
  // Mounts of this process and what it starts alone: they go with it. In a chroot "/" is no mount of its own
  // (EINVAL): the disk may then be seen from outside, until it is unmounted.
  if (::unshare(CLONE_NEWNS) != 0 ||
      (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 && errno != EINVAL)) {
    return ErrnoStatus(errno, "mounts of the test's own");
  }
  if (::mount("vernier-test", path.c_str(), "tmpfs", 0, absl::StrCat("size=", size_bytes).c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("mounting a disk of ", size_bytes, " bytes at ", path));
  }
  return std::unique_ptr<SmallDisk>(new SmallDisk(path));
}

SmallDisk::~SmallDisk() {
  ::umount2(path_.c_str(), MNT_DETACH);  // a process of a failed test may still hold files there
}

absl::Status SmallDisk::Fill() {
  const int fd = ::open(BallastPath().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, BallastPath());
  const std::string page(4096, 'x');
  while (::write(fd, page.data(), page.size()) > 0) {
  }
  const int error = errno;
  ::close(fd);
  return error == ENOSPC ? absl::OkStatus() : ErrnoStatus(error, BallastPath());
}

absl::Status SmallDisk::Free() {
  return ::unlink(BallastPath().c_str()) == 0 ? absl::OkStatus() : ErrnoStatus(errno, BallastPath());
}

}  // namespace vernier
