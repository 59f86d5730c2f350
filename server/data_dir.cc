#include "server/data_dir.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::server {
namespace {

constexpr absl::string_view kEndpoint = "endpoint";
constexpr absl::string_view kMetricsEndpoint = "metrics_endpoint";
constexpr int kTokenBytes = 32;

absl::Status Remove(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  return error ? ErrnoStatus(error.value(), path) : absl::OkStatus();
}

}  // namespace

std::string DataDir::Below(absl::string_view name) const { return absl::StrCat(path_, "/", name); }

absl::StatusOr<DataDir> DataDir::Open(const std::string& path) {
  std::error_code error;
  const std::string absolute = std::filesystem::absolute(path, error).lexically_normal().string();
  if (error) return ErrnoStatus(error.value(), path);
  if (!std::filesystem::exists(absolute, error)) VN_RETURN_IF_ERROR(MakeDirs(absolute, 0700));
  absl::StatusOr<FileLock> lock =
      FileLock::Acquire(absl::StrCat(absolute, "/vernierd.lock"), "another vernierd");
  if (!lock.ok()) {
    if (!absl::IsFailedPrecondition(lock.status())) return lock.status();
    return absl::FailedPreconditionError(
        absl::StrCat(lock.status().message(), "; stop it, or choose another --data-dir"));
  }
  DataDir dir(absolute, *std::move(lock));
  VN_RETURN_IF_ERROR(dir.CheckVersion());
  VN_RETURN_IF_ERROR(dir.Clean());
  VN_RETURN_IF_ERROR(dir.LoadToken());
  return dir;
}

DataDir::~DataDir() {
  if (!path_.empty()) RemoveEndpoints();
}

void DataDir::RemoveEndpoints() const {
  for (const absl::string_view name : {kEndpoint, kMetricsEndpoint}) {
    if (const absl::Status status = Remove(Below(name)); !status.ok()) {
      VN_LOG(WARNING) << "endpoint file left behind error=" << status;
    }
  }
}

absl::Status DataDir::CheckVersion() const {
  const std::string path = Below("VERSION");
  const absl::StatusOr<std::string> text = ReadFile(path, 64);
  if (absl::IsNotFound(text.status())) return WriteFileAtomic(path, absl::StrCat(kDataDirVersion, "\n"));
  VN_RETURN_IF_ERROR(text.status());
  const absl::string_view found = absl::StripAsciiWhitespace(*text);
  if (found == absl::StrCat(kDataDirVersion)) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      path, ": this data directory has format version ", Excerpt(found), ", and this vernierd reads ",
      kDataDirVersion, "; use the vernierd that made it, or choose another --data-dir"));
}

absl::Status DataDir::Clean() const {
  // Left by a process that was killed.
  for (const absl::string_view name : {kEndpoint, kMetricsEndpoint, absl::string_view("spool")}) {
    VN_RETURN_IF_ERROR(Remove(Below(name)));
  }
  return MakeDirs(spool(), 0700);
}

absl::Status DataDir::LoadToken() {
  const absl::StatusOr<std::string> text = ReadFile(token_path(), 4096);
  if (absl::IsNotFound(text.status())) {
    token_ = RandomHex(kTokenBytes);
    return WriteFileAtomic(token_path(), token_, 0600);
  }
  VN_RETURN_IF_ERROR(text.status());
  token_ = std::string(absl::StripAsciiWhitespace(*text));
  if (token_.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(token_path(), ": is empty; write a token into it, or remove it to get a new one"));
  }
  struct stat info;
  if (::stat(token_path().c_str(), &info) != 0) return ErrnoStatus(errno, token_path());
  if ((info.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(token_path(),
                     ": can be read by other users; run chmod 600 on it, and replace the token if it "
                     "may have been read"));
  }
  return absl::OkStatus();
}

absl::Status DataDir::WriteEndpoints(absl::string_view endpoint, absl::string_view metrics_endpoint) {
  VN_RETURN_IF_ERROR(WriteFileAtomic(Below(kMetricsEndpoint), metrics_endpoint));
  return WriteFileAtomic(Below(kEndpoint), endpoint);  // last: whoever waits for it finds everything
}

}  // namespace vernier::server
