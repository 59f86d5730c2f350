#include "storage/folder_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "common/unwritable.h"

namespace vernier::storage {
namespace {

// How often a write starts over when a concurrent Delete removed the emptied folder it was about to use.
constexpr int kMaxFolderRaces = 100;
constexpr absl::string_view kTemporaryFolder = ".tmp";

// errno of an operation on `path` as the error of the object `key`.
absl::Status ObjectStatus(int error, absl::string_view key, absl::string_view path, absl::string_view doing) {
  const std::string what = absl::StrCat(key, ": ", doing, " ", path);
  switch (error) {
    case ENOSPC:
    case EDQUOT: {
      struct statvfs disk;
      std::string left;
      const std::string folder = std::filesystem::path(std::string(path)).parent_path().string();
      if (::statvfs(folder.c_str(), &disk) == 0) {
        left = absl::StrCat(" (", HumanBytes(static_cast<int64_t>(disk.f_bavail * disk.f_frsize)), " left)");
      }
      return MarkUnwritable(absl::ResourceExhaustedError(
          absl::StrCat(what, ": ", error == EDQUOT ? "disk quota is used up" : "no space left on the disk",
                       left, "; free space there, or move the object store to a larger disk")));
    }
    case ENOTDIR:
      return absl::FailedPreconditionError(absl::StrCat(what, ": one of its folders is an object"));
    case EISDIR:
    case ENOTEMPTY:
      return absl::FailedPreconditionError(absl::StrCat(what, ": is the folder of other objects"));
    case ELOOP:
      return absl::FailedPreconditionError(absl::StrCat(what, ": is a symbolic link, not an object"));
    default:
      return ErrnoStatus(error, what);
  }
}

// The same of an operation that writes.
absl::Status WriteStatus(int error, absl::string_view key, absl::string_view path, absl::string_view doing) {
  if (error != EACCES && error != EPERM && error != EROFS) return ObjectStatus(error, key, path, doing);
  return WriteErrnoStatus(error, absl::StrCat(key, ": ", doing, " ", path));
}

absl::Status NoSuchObject(absl::string_view key, absl::string_view path) {
  return absl::NotFoundError(absl::StrCat(key, ": no such object (", path, ")"));
}

// A name in a folder is durable only once the folder itself is flushed. Returns errno, 0 when done.
int SyncFolder(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  const int error = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  return error;
}

// Creates `folder` and its parents durably. Returns errno, 0 when done.
int MakeFoldersDurably(const std::string& folder) {
  if (::mkdir(folder.c_str(), 0755) == 0) {
    return SyncFolder(std::filesystem::path(folder).parent_path().string());
  }
  if (errno == EEXIST) {
    struct stat info;
    if (::stat(folder.c_str(), &info) != 0) return errno;
    return S_ISDIR(info.st_mode) ? 0 : ENOTDIR;
  }
  if (errno != ENOENT) return errno;
  const std::string parent = std::filesystem::path(folder).parent_path().string();
  if (parent == folder) return ENOENT;
  if (const int error = MakeFoldersDurably(parent); error != 0) return error;
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) return errno;
  return SyncFolder(parent);
}

absl::Time ModifyTime(const struct stat& info) { return absl::TimeFromTimespec(info.st_mtim); }

// Removes what crashed writers left. Debris that cannot be removed is reported and does no harm.
void RemoveStale(const std::string& folder, absl::Duration stale_after) {
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string path = absl::StrCat(folder, "/", entry->d_name);
    struct stat info;
    if (::lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    if (absl::Now() - ModifyTime(info) < stale_after) continue;
    if (::unlink(path.c_str()) == 0) {
      VN_LOG(INFO) << "stale temporary file removed path=" << path << " bytes=" << info.st_size;
    } else if (errno != ENOENT) {
      VN_LOG(WARNING) << ErrnoStatus(errno, absl::StrCat("removing stale temporary file ", path)).message();
    }
  }
  ::closedir(dir);
}

struct Entry {
  std::string name;  // folders end in '/', so that sorting by name is sorting by key
  struct stat info;
};

// Objects and folders directly in `path`, sorted. A folder that has vanished is empty.
absl::StatusOr<std::vector<Entry>> SortedEntries(const std::string& path) {
  std::vector<Entry> entries;
  DIR* dir = ::opendir(path.c_str());
  if (dir == nullptr) {
    if (errno == ENOENT || errno == ENOTDIR) return entries;
    return ErrnoStatus(errno, path);
  }
  while (const dirent* raw = ::readdir(dir)) {
    Entry entry{raw->d_name, {}};
    if (entry.name[0] == '.') continue;
    if (::fstatat(::dirfd(dir), raw->d_name, &entry.info, AT_SYMLINK_NOFOLLOW) != 0)
      continue;  // just deleted
    if (S_ISDIR(entry.info.st_mode)) entry.name += '/';
    if (S_ISDIR(entry.info.st_mode) || S_ISREG(entry.info.st_mode)) entries.push_back(std::move(entry));
  }
  ::closedir(dir);
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
  return entries;
}

// Appends to `page` the objects below `folder_key` ("" or ending in '/') in order of their keys.
absl::Status ListInto(const std::string& root, const std::string& folder_key, absl::string_view prefix,
                      absl::string_view start_after, int limit, std::vector<ObjectInfo>& page) {
  VN_ASSIGN_OR_RETURN(const std::vector<Entry> entries, SortedEntries(absl::StrCat(root, "/", folder_key)));
  for (const Entry& entry : entries) {
    if (static_cast<int64_t>(page.size()) >= limit) return absl::OkStatus();
    const std::string key = absl::StrCat(folder_key, entry.name);
    if (S_ISDIR(entry.info.st_mode)) {
      const bool may_match = absl::StartsWith(key, prefix) || absl::StartsWith(prefix, key);
      const bool all_before = start_after > key && !absl::StartsWith(start_after, key);
      if (may_match && !all_before) VN_RETURN_IF_ERROR(ListInto(root, key, prefix, start_after, limit, page));
    } else if (absl::StartsWith(key, prefix) && key > start_after && CheckKey(key).ok()) {
      page.push_back({key, static_cast<int64_t>(entry.info.st_size), ModifyTime(entry.info)});
    }
  }
  return absl::OkStatus();
}

}  // namespace

class FolderStore::Writer final : public ObjectWriter {
 public:
  Writer(FolderStore& store, absl::string_view key, WriteMode mode, std::string temporary, int fd)
      : store_(store), key_(key), mode_(mode), temporary_(std::move(temporary)), fd_(fd) {}

  ~Writer() override {
    if (fd_ >= 0) ::close(fd_);
    if (!temporary_.empty())
      ::unlink(temporary_.c_str());  // debris is removed at the next Open if this fails
  }

  absl::Status Append(absl::string_view bytes) override {
    hash_.Update(bytes);
    size_bytes_ += static_cast<int64_t>(bytes.size());
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
      if (written < 0) {
        if (errno == EINTR) continue;
        return WriteStatus(errno, key_, temporary_, "writing");
      }
      bytes.remove_prefix(written);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<ByteDigest> Finish() override {
    if (::fsync(fd_) != 0) return WriteStatus(errno, key_, temporary_, "flushing");
    if (::close(std::exchange(fd_, -1)) != 0) return WriteStatus(errno, key_, temporary_, "closing");
    const ByteDigest digest{size_bytes_, hash_.FinishHex()};
    const std::string path = store_.PathOf(key_);
    const std::string folder = std::filesystem::path(path).parent_path().string();
    for (int attempt = 1;; ++attempt) {
      int error = MakeFoldersDurably(folder);
      if (error == 0) {
        const int outcome = mode_ == WriteMode::kIfAbsent ? ::link(temporary_.c_str(), path.c_str())
                                                          : ::rename(temporary_.c_str(), path.c_str());
        error = outcome == 0 ? 0 : errno;
      }
      if (error == 0) break;
      if (error == ENOENT && attempt < kMaxFolderRaces) continue;
      struct stat existing_info;
      if ((error == EEXIST || error == EISDIR || error == ENOTEMPTY) &&
          ::lstat(path.c_str(), &existing_info) == 0 && S_ISDIR(existing_info.st_mode)) {
        // An empty folder is the trace of a crash or of a Delete under way; one that holds objects stays.
        if (::rmdir(path.c_str()) == 0 && attempt < kMaxFolderRaces) continue;
        return ObjectStatus(EISDIR, key_, path, "creating");
      }
      if (error == EEXIST && mode_ == WriteMode::kIfAbsent) {
        absl::StatusOr<ByteDigest> existing = DigestOf(store_, key_);
        if (absl::IsNotFound(existing.status()) && attempt < kMaxFolderRaces) continue;  // just deleted
        VN_RETURN_IF_ERROR(existing.status());
        if (*existing == digest) {
          // The other writer may have crashed between its link and its flush.
          if (error = SyncFolder(folder); error == 0) return digest;
          return WriteStatus(error, key_, folder, "flushing");
        }
        return absl::AlreadyExistsError(absl::StrCat(key_, ": exists as ", path, " with other bytes"));
      }
      return WriteStatus(error, key_, path, "creating");
    }
    if (mode_ == WriteMode::kReplace) temporary_.clear();  // it is the object now
    if (const int error = SyncFolder(folder); error != 0)
      return WriteStatus(error, key_, folder, "flushing");
    return digest;
  }

 private:
  FolderStore& store_;
  const std::string key_;
  const WriteMode mode_;
  std::string temporary_;
  int fd_;
  int64_t size_bytes_ = 0;
  Sha256 hash_;
};

absl::StatusOr<std::unique_ptr<FolderStore>> FolderStore::Open(Options options) {
  if (options.root.empty()) return absl::InvalidArgumentError("object store folder: the path is empty");
  std::error_code failure;
  std::string root = std::filesystem::absolute(options.root, failure).lexically_normal().string();
  if (failure) return ErrnoStatus(failure.value(), options.root);
  while (root.size() > 1 && root.back() == '/') root.pop_back();
  const std::string temporary = absl::StrCat(root, "/", kTemporaryFolder);
  if (const int error = MakeFoldersDurably(temporary); error != 0) {
    return WriteStatus(error, "object store folder", root, "creating");
  }
  if (::access(temporary.c_str(), W_OK | X_OK) != 0) {
    return WriteStatus(errno, "object store folder", temporary, "writing below");
  }
  RemoveStale(temporary, options.stale_after);
  return std::unique_ptr<FolderStore>(new FolderStore(std::move(root)));
}

std::string FolderStore::PathOf(absl::string_view key) const { return absl::StrCat(root_, "/", key); }
std::string FolderStore::Uri() const { return absl::StrCat("file://", root_); }

absl::StatusOr<std::unique_ptr<ObjectWriter>> FolderStore::OpenWriter(absl::string_view key, WriteMode mode) {
  VN_RETURN_IF_ERROR(CheckKey(key));
  std::string temporary = absl::StrCat(root_, "/", kTemporaryFolder, "/", RandomHex(16));
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return WriteStatus(errno, key, temporary, "creating");
  return std::make_unique<Writer>(*this, key, mode, std::move(temporary), fd);
}

absl::StatusOr<std::string> FolderStore::GetRange(absl::string_view key, int64_t offset, int64_t length) {
  VN_RETURN_IF_ERROR(CheckKey(key));
  const std::string path = PathOf(key);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return NoSuchObject(key, path);
    return ObjectStatus(errno, key, path, "opening");
  }
  auto read = [&]() -> absl::StatusOr<std::string> {
    struct stat info;
    if (::fstat(fd, &info) != 0) return ObjectStatus(errno, key, path, "opening");
    if (!S_ISREG(info.st_mode)) return NoSuchObject(key, path);
    if (offset < 0 || length < 0 || offset > info.st_size) {
      return absl::InvalidArgumentError(absl::StrCat(key, ": asked for ", length, " bytes from offset ",
                                                     offset, "; the object has ", info.st_size));
    }
    std::string bytes(std::min<int64_t>(length, info.st_size - offset), '\0');
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t got =
          ::pread(fd, bytes.data() + done, bytes.size() - done, offset + static_cast<int64_t>(done));
      if (got < 0) {
        if (errno == EINTR) continue;
        return ObjectStatus(errno, key, path, "reading");
      }
      if (got == 0) {
        return absl::DataLossError(absl::StrCat(key, ": ", path,
                                                " shrank while it was read; nothing but this "
                                                "service may write below ",
                                                root_));
      }
      done += got;
    }
    return bytes;
  };
  absl::StatusOr<std::string> bytes = read();
  ::close(fd);  // opened for reading: nothing to lose
  return bytes;
}

absl::StatusOr<ObjectInfo> FolderStore::Head(absl::string_view key) {
  VN_RETURN_IF_ERROR(CheckKey(key));
  const std::string path = PathOf(key);
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return NoSuchObject(key, path);
    return ObjectStatus(errno, key, path, "opening");
  }
  if (!S_ISREG(info.st_mode)) return NoSuchObject(key, path);
  return ObjectInfo{std::string(key), static_cast<int64_t>(info.st_size), ModifyTime(info)};
}

absl::StatusOr<std::vector<ObjectInfo>> FolderStore::List(absl::string_view prefix,
                                                          absl::string_view start_after, int limit) {
  std::vector<ObjectInfo> page;
  VN_RETURN_IF_ERROR(ListInto(root_, "", prefix, start_after, limit, page));
  return page;
}

absl::Status FolderStore::Delete(absl::string_view key) {
  VN_RETURN_IF_ERROR(CheckKey(key));
  const std::string path = PathOf(key);
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return absl::OkStatus();
    return ObjectStatus(errno, key, path, "deleting");
  }
  if (S_ISDIR(info.st_mode)) return absl::OkStatus();  // a folder is not an object
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return ObjectStatus(errno, key, path, "deleting");
  std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (const int error = SyncFolder(folder.string()); error != 0 && error != ENOENT) {
    return ObjectStatus(error, key, folder.string(), "flushing");
  }
  // Folders exist only to hold objects: rmdir refuses those that still do, which ends the climb.
  while (folder != std::filesystem::path(root_) && ::rmdir(folder.c_str()) == 0)
    folder = folder.parent_path();
  return absl::OkStatus();
}

std::optional<std::string> FolderStore::LocalPath(absl::string_view key) {
  if (!Head(key).ok()) return std::nullopt;
  return PathOf(key);
}

}  // namespace vernier::storage
