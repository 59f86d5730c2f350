#include "worker/stages/local_folder.h"

#include <stdlib.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace vernier::stages {
namespace {

constexpr int64_t kDownloadChunkBytes = 8 << 20;

absl::Status CopyObject(storage::ObjectStore& store, const std::string& key, int64_t size,
                        const std::string& path) {
  VN_RETURN_IF_ERROR(MakeDirs(std::filesystem::path(path).parent_path().string(), 0700));
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  for (int64_t at = 0; file && at < size;) {
    VN_ASSIGN_OR_RETURN(const std::string bytes,
                        store.GetRange(key, at, std::min(kDownloadChunkBytes, size - at)));
    if (bytes.empty()) return absl::DataLossError(absl::StrCat(key, ": ends at byte ", at, " of ", size));
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    at += static_cast<int64_t>(bytes.size());
  }
  file.close();
  if (!file) return absl::ResourceExhaustedError(absl::StrCat(path, ": cannot write; make room there"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LocalFolder> LocalFolder::Open(storage::ObjectStore& store, absl::string_view prefix,
                                              const storage::Manifest& manifest) {
  if (manifest.parts.empty())
    return absl::InvalidArgumentError(absl::StrCat(prefix, ": its manifest lists no file"));
  LocalFolder folder;
  const std::string& first = manifest.parts.front().name;
  if (const auto path = store.LocalPath(absl::StrCat(prefix, "/", first)); path.has_value()) {
    folder.path_ = std::string(absl::StripSuffix(*path, absl::StrCat("/", first)));
    return folder;
  }
  std::error_code error;
  std::string pattern = absl::StrCat(std::filesystem::temp_directory_path(error).string(), "/vernier-XXXXXX");
  if (error) return absl::FailedPreconditionError(absl::StrCat("TMPDIR: ", error.message()));
  if (::mkdtemp(pattern.data()) == nullptr) return ErrnoStatus(errno, pattern);
  folder.path_ = pattern;
  folder.temporary_ = true;
  for (const storage::ManifestPart& part : manifest.parts) {
    VN_RETURN_IF_ERROR(CopyObject(store, absl::StrCat(prefix, "/", part.name), part.size_bytes,
                                  absl::StrCat(folder.path_, "/", part.name)));
  }
  return folder;
}

LocalFolder::LocalFolder(LocalFolder&& other) noexcept
    : path_(std::move(other.path_)), temporary_(std::exchange(other.temporary_, false)) {}

LocalFolder& LocalFolder::operator=(LocalFolder&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  return *this;
}

LocalFolder::~LocalFolder() {
  if (!temporary_) return;
  std::error_code error;
  std::filesystem::remove_all(path_, error);
  if (error) VN_LOG(WARNING) << "temporary folder not removed path=" << path_ << " error=" << error.message();
}

}  // namespace vernier::stages
