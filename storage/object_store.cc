#include "storage/object_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::storage {
namespace {

constexpr int64_t kPieceBytes = int64_t{1} << 20;
constexpr int kPageObjects = 1000;
constexpr size_t kMaxKeyBytes = 512;
constexpr size_t kMaxSegmentBytes = 200;  // file systems allow 255; temporary names need room

absl::Status BadKey(absl::string_view key, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("object key \"", Excerpt(key, 120), "\": ", why));
}

absl::Status WriteAll(ObjectStore& store, absl::string_view key, absl::string_view bytes, WriteMode mode) {
  VN_ASSIGN_OR_RETURN(std::unique_ptr<ObjectWriter> writer, store.OpenWriter(key, mode));
  VN_RETURN_IF_ERROR(writer->Append(bytes));
  return writer->Finish().status();
}

}  // namespace

absl::Status CheckKey(absl::string_view key) {
  if (key.empty()) return BadKey(key, "is empty");
  if (key.size() > kMaxKeyBytes) {
    return BadKey(key, absl::StrCat("has ", key.size(), " bytes, more than the limit of ", kMaxKeyBytes));
  }
  size_t segment_start = 0;
  for (size_t i = 0; i <= key.size(); ++i) {
    if (i == key.size() || key[i] == '/') {
      const size_t length = i - segment_start;
      if (length == 0) return BadKey(key, "has an empty segment (a '/' at an end or two in a row)");
      if (length > kMaxSegmentBytes) {
        return BadKey(key, absl::StrCat("has a segment of ", length, " bytes, more than the limit of ",
                                        kMaxSegmentBytes));
      }
      if (key[segment_start] == '.') return BadKey(key, "has a segment that starts with '.'");
      segment_start = i + 1;
      continue;
    }
    const char c = key[i];
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '_' && c != '-') {
      return BadKey(key, absl::StrCat("byte ", i, " is not one of A-Z a-z 0-9 . _ - /"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ObjectStore::Get(absl::string_view key, int64_t max_bytes) {
  VN_ASSIGN_OR_RETURN(const ObjectInfo info, Head(key));
  if (info.size_bytes > max_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(key, ": has ", info.size_bytes, " bytes, more than the limit of ", max_bytes));
  }
  return GetRange(key, 0, max_bytes);
}

absl::Status ObjectStore::Put(absl::string_view key, absl::string_view bytes) {
  return WriteAll(*this, key, bytes, WriteMode::kReplace);
}

absl::Status ObjectStore::PutIfAbsent(absl::string_view key, absl::string_view bytes) {
  return WriteAll(*this, key, bytes, WriteMode::kIfAbsent);
}

absl::StatusOr<ByteDigest> DigestOf(ObjectStore& store, absl::string_view key) {
  VN_ASSIGN_OR_RETURN(const ObjectInfo info, store.Head(key));
  Sha256 hash;
  ByteDigest digest;
  while (digest.size_bytes < info.size_bytes) {
    VN_ASSIGN_OR_RETURN(const std::string piece, store.GetRange(key, digest.size_bytes, kPieceBytes));
    if (piece.empty()) {
      return absl::DataLossError(absl::StrCat(key, ": ended after ", digest.size_bytes, " of ",
                                              info.size_bytes, " bytes while it was read; upload it again"));
    }
    hash.Update(piece);
    digest.size_bytes += static_cast<int64_t>(piece.size());
  }
  digest.sha256 = hash.FinishHex();
  return digest;
}

absl::Status StreamFile(const std::string& path, ByteSink& sink) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, path);
  std::string buffer(kPieceBytes, '\0');
  absl::Status status;
  while (status.ok()) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got == 0) break;
    if (got > 0) {
      status = sink.Append(absl::string_view(buffer.data(), got));
    } else if (errno != EINTR) {
      status = ErrnoStatus(errno, path);
    }
  }
  ::close(fd);  // opened for reading: nothing to lose
  return status;
}

absl::StatusOr<ByteDigest> PutFile(ObjectStore& store, absl::string_view key, const std::string& path,
                                   WriteMode mode) {
  VN_ASSIGN_OR_RETURN(const std::unique_ptr<ObjectWriter> writer, store.OpenWriter(key, mode));
  VN_RETURN_IF_ERROR(StreamFile(path, *writer));
  return writer->Finish();
}

absl::StatusOr<std::vector<ObjectInfo>> ListAll(ObjectStore& store, absl::string_view prefix) {
  std::vector<ObjectInfo> all;
  while (true) {
    VN_ASSIGN_OR_RETURN(std::vector<ObjectInfo> page,
                        store.List(prefix, all.empty() ? "" : all.back().key, kPageObjects));
    const bool last = page.size() < kPageObjects;
    std::move(page.begin(), page.end(), std::back_inserter(all));
    if (last) return all;
  }
}

absl::StatusOr<int64_t> DeletePrefix(ObjectStore& store, absl::string_view prefix) {
  int64_t num_deleted = 0;
  while (true) {
    VN_ASSIGN_OR_RETURN(const std::vector<ObjectInfo> page, store.List(prefix, "", kPageObjects));
    for (const ObjectInfo& info : page) {
      VN_RETURN_IF_ERROR(store.Delete(info.key));
      ++num_deleted;
    }
    if (page.size() < kPageObjects) return num_deleted;
  }
}

}  // namespace vernier::storage
