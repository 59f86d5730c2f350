// A file system of a few megabytes that a test can fill to the last byte.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace vernier {

// A tmpfs, mounted as long as the object lives. Thread-compatible.
class SmallDisk {
 public:
  // Creates the folder `path`. PermissionDenied: only root may mount.
  static absl::StatusOr<std::unique_ptr<SmallDisk>> Mount(const std::string& path, int64_t size_bytes);
  ~SmallDisk();
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  const std::string& path() const { return path_; }
  // Takes every free byte, those given back since the last call too.
  absl::Status Fill();
  // Gives all of them back.
  absl::Status Free();

 private:
  explicit SmallDisk(std::string path) : path_(std::move(path)) {}
  std::string BallastPath() const { return path_ + "/ballast"; }
  const std::string path_;
};

}  // namespace vernier
