#include "worker/data/sources/inflating_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::data {
namespace {

constexpr int64_t kMaxSpooledBytes = int64_t{8} << 30;

struct InflatingState {
  ReadAtFn read;
  std::unique_ptr<Inflater> inflater;
  absl::string_view name;
  std::shared_ptr<std::atomic<int64_t>> consumed;
  std::string input;
  absl::string_view rest;  // of `input`, not used yet
  int64_t read_offset = 0, out_offset = 0;
  bool at_end = false;

  absl::StatusOr<std::string> Read(int64_t offset, int64_t max_bytes) {
    if (offset != out_offset)
      return absl::InternalError("a compressed file is read from its start to its end");
    std::string out;
    const auto wanted = static_cast<size_t>(max_bytes);
    while (out.size() < wanted) {
      const size_t before = out.size();
      const absl::Status stepped = inflater->Step(&rest, wanted - out.size(), &out);
      if (!stepped.ok()) return Annotate(stepped, name);
      if (out.size() > before || !rest.empty()) continue;
      if (at_end) break;
      VN_ASSIGN_OR_RETURN(input, read(read_offset, kSourceReadBytes));
      rest = input;
      read_offset += static_cast<int64_t>(input.size());
      if (input.empty()) {
        at_end = true;
        if (const absl::Status end = inflater->CheckEnd(); !end.ok()) return Annotate(end, name);
      }
    }
    consumed->store(read_offset - static_cast<int64_t>(rest.size()));
    out_offset += static_cast<int64_t>(out.size());
    return out;
  }
};

// An open file without a name; closed with the last reader of it.
class Spool {
 public:
  explicit Spool(int fd) : fd_(fd) {}
  ~Spool() { ::close(fd_); }
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  absl::Status Write(absl::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return ErrnoStatus(errno, "temporary file");
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Read(int64_t offset, int64_t max_bytes) const {
    std::string bytes(static_cast<size_t>(max_bytes), '\0');
    size_t size = 0;
    while (size < bytes.size()) {
      const ssize_t got = ::pread(fd_, bytes.data() + size, bytes.size() - size,
                                  static_cast<off_t>(offset) + static_cast<off_t>(size));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return ErrnoStatus(errno, "temporary file");
      if (got == 0) break;
      size += static_cast<size_t>(got);
    }
    bytes.resize(size);
    return bytes;
  }

 private:
  const int fd_;
};

}  // namespace

ReadAtFn InflatingReader(ReadAtFn compressed, Compression compression,
                         std::shared_ptr<std::atomic<int64_t>> consumed) {
  // Shared with the copies that std::function makes of the reader.
  auto state = std::make_shared<InflatingState>();
  state->read = std::move(compressed);
  state->inflater = Inflater::Create(compression);
  state->name = CompressionName(compression);
  state->consumed = std::move(consumed);
  return [state](int64_t offset, int64_t max_bytes) { return state->Read(offset, max_bytes); };
}

absl::StatusOr<ReadAtFn> SpooledReader(const ReadAtFn& read, int64_t* size_bytes) {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::temp_directory_path(error);
  if (error) return absl::UnavailableError(absl::StrCat("no folder for temporary files: ", error.message()));
  const int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat(folder.string(), ": temporary file"));
  const auto spool = std::make_shared<Spool>(fd);
  int64_t size = 0;
  while (true) {
    VN_ASSIGN_OR_RETURN(const std::string bytes, read(size, kSourceReadBytes));
    if (bytes.empty()) break;
    size += static_cast<int64_t>(bytes.size());
    if (size > kMaxSpooledBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("a compressed Parquet file of more than ", HumanBytes(kMaxSpooledBytes),
                       "; decompress it: Parquet compresses its columns itself"));
    }
    VN_RETURN_IF_ERROR(spool->Write(bytes));
  }
  *size_bytes = size;
  return ReadAtFn([spool](int64_t offset, int64_t max_bytes) { return spool->Read(offset, max_bytes); });
}

}  // namespace vernier::data
