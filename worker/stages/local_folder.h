// Objects of a manifest as files of one local folder, for loaders that map files.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/manifest.h"
#include "storage/object_store.h"

namespace vernier::stages {

// Movable; a copy that it had to make goes with it (maps of its files stay valid).
class LocalFolder {
 public:
  // The parts of `manifest` below `prefix`. Where the store has them as files: those, no copy. Else copied to
  // a new folder below $TMPDIR (or /tmp). ResourceExhausted: no space there.
  static absl::StatusOr<LocalFolder> Open(storage::ObjectStore& store, absl::string_view prefix,
                                          const storage::Manifest& manifest);
  LocalFolder(LocalFolder&& other) noexcept;
  LocalFolder& operator=(LocalFolder&& other) noexcept;
  ~LocalFolder();

  const std::string& path() const { return path_; }

 private:
  LocalFolder() = default;
  std::string path_;
  bool temporary_ = false;
};

}  // namespace vernier::stages
