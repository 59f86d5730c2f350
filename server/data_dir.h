// The folder in which one vernierd keeps what is its own:
//
//   VERSION            version of this layout; another one is refused
//   vernierd.lock      held by the running process, with its pid
//   token              what callers show (mode 0600), made once
//   endpoint           host:port while vernierd is ready; gone after a clean exit
//   metrics_endpoint   likewise, of /metrics
//   vernierd.db        the job store
//   spool/             uploads in progress; emptied at start
//   objects/           the object store, unless --store says otherwise
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/file_lock.h"

namespace vernier::server {

inline constexpr int kDataDirVersion = 1;

// Holds the lock. Thread-compatible.
class DataDir {
 public:
  // Creates what is missing. FailedPrecondition: another vernierd uses it (with its pid), or it is of another
  // version.
  static absl::StatusOr<DataDir> Open(const std::string& path);
  ~DataDir();  // removes the endpoint files
  DataDir(DataDir&&) = default;

  const std::string& path() const { return path_; }
  std::string Below(absl::string_view name) const;
  const std::string& token() const { return token_; }
  std::string token_path() const { return Below("token"); }
  std::string spool() const { return Below("spool"); }

  // vernierd is ready there: each file appears whole.
  absl::Status WriteEndpoints(absl::string_view endpoint, absl::string_view metrics_endpoint);
  // vernierd stops. Also what the destructor does.
  void RemoveEndpoints() const;

 private:
  DataDir(std::string path, FileLock lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  absl::Status CheckVersion() const;
  absl::Status LoadToken();
  absl::Status Clean() const;

  std::string path_;  // empty once moved from
  FileLock lock_;
  std::string token_;
};

}  // namespace vernier::server
