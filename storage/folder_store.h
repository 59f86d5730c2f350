// Objects as files below one local (or shared) folder: the object with key K is the file <root>/K.
//
// A write goes to <root>/.tmp/, is flushed to disk and then renamed (kReplace) or linked (kIfAbsent) into
// place, and the folder is flushed: a crash leaves either the whole object or none. Temporary files left by a
// crash are removed when the store is opened, once nobody has written them for a day.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "storage/object_store.h"

namespace vernier::storage {

// Thread-safe, and safe between processes that share the folder.
class FolderStore final : public ObjectStore {
 public:
  struct Options {
    std::string root;                              // created when missing
    absl::Duration stale_after = absl::Hours(24);  // age at which a temporary file is debris
  };
  // PermissionDenied, ResourceExhausted: the folder cannot be created or written.
  static absl::StatusOr<std::unique_ptr<FolderStore>> Open(Options options);

  absl::StatusOr<std::unique_ptr<ObjectWriter>> OpenWriter(absl::string_view key, WriteMode mode) override;
  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset, int64_t length) override;
  absl::StatusOr<ObjectInfo> Head(absl::string_view key) override;
  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix, absl::string_view start_after,
                                               int limit) override;
  absl::Status Delete(absl::string_view key) override;
  std::optional<std::string> LocalPath(absl::string_view key) override;
  std::string Uri() const override;

 private:
  class Writer;
  explicit FolderStore(std::string root) : root_(std::move(root)) {}
  std::string PathOf(absl::string_view key) const;

  const std::string root_;  // absolute, without a trailing '/'
};

}  // namespace vernier::storage
