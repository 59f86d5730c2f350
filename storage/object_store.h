// Where bulk bytes live: datasets, models, checkpoints, artifacts. Backends: registry.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace vernier::storage {

// Takes bytes in order, in pieces of any size. Thread-compatible.
class ByteSink {
 public:
  virtual ~ByteSink() = default;
  virtual absl::Status Append(absl::string_view bytes) = 0;
};

// Size and SHA-256 (lower-case hex) of some bytes.
struct ByteDigest {
  int64_t size_bytes = 0;
  std::string sha256;
  bool operator==(const ByteDigest&) const = default;
};

// Makes one object. Nothing is visible before Finish returns OK, and then all of it is, durably; an object
// whose writer is destroyed unfinished never existed. Thread-compatible. Must not outlive its store.
class ObjectWriter : public ByteSink {
 public:
  // Call once, last. AlreadyExists: opened with kIfAbsent and the key holds other bytes.
  virtual absl::StatusOr<ByteDigest> Finish() = 0;
};

enum class WriteMode {
  kReplace,   // the last writer to finish wins
  kIfAbsent,  // the first one to finish wins; finishing with equal bytes is success (a retry after a lost
              // reply)
};

struct ObjectInfo {
  std::string key;
  int64_t size_bytes = 0;
  absl::Time modify_time;
};

// Keys      1 to 512 bytes; segments parted by '/', each 1 to 200 of [A-Za-z0-9._-], not starting with '.'.
//           An object's key is never the folder of another object's key.
// Errors    InvalidArgument: a bad key. NotFound: no such object. FailedPrecondition: the key is a folder of
//           other objects, or one of its folders is an object. ResourceExhausted: no space. PermissionDenied.
//           Unavailable: may work when tried again. Messages start with the key and name the place.
// Order     A successful write is seen by every read and listing that starts after it.
// Threading Thread-safe.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  virtual absl::StatusOr<std::unique_ptr<ObjectWriter>> OpenWriter(absl::string_view key, WriteMode mode) = 0;
  // At most `length` bytes from `offset`; fewer only at the end. InvalidArgument: negative, or offset > size.
  virtual absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset, int64_t length) = 0;
  virtual absl::StatusOr<ObjectInfo> Head(absl::string_view key) = 0;
  // Up to `limit` objects whose key starts with `prefix` (any text, "" for all) and is greater than
  // `start_after`, in byte order of keys. Fewer than `limit`: there are no more.
  virtual absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix,
                                                       absl::string_view start_after, int limit) = 0;
  // OK too when there is no such object.
  virtual absl::Status Delete(absl::string_view key) = 0;
  // A local file with the object's bytes, to map into memory; none when the backend has no files or there is
  // no such object. Read it, never write it.
  virtual std::optional<std::string> LocalPath(absl::string_view key) = 0;
  // What an operator calls this store: "memory:" or "file:///var/lib/vernier/objects".
  virtual std::string Uri() const = 0;

  // Whole objects. Get, InvalidArgument: larger than `max_bytes`.
  absl::StatusOr<std::string> Get(absl::string_view key, int64_t max_bytes = int64_t{1} << 30);
  absl::Status Put(absl::string_view key, absl::string_view bytes);
  // AlreadyExists: the key holds other bytes. Of racing callers with different bytes exactly one gets OK.
  absl::Status PutIfAbsent(absl::string_view key, absl::string_view bytes);
};

// The rule for keys above, as every backend applies it.
absl::Status CheckKey(absl::string_view key);

// Reads the object in pieces. DataLoss: it shrank meanwhile.
absl::StatusOr<ByteDigest> DigestOf(ObjectStore& store, absl::string_view key);

// Appends a local file to `sink`, in pieces. NotFound and so on name the file.
absl::Status StreamFile(const std::string& path, ByteSink& sink);

// Streams a local file into `key`.
absl::StatusOr<ByteDigest> PutFile(ObjectStore& store, absl::string_view key, const std::string& path,
                                   WriteMode mode);

// Every object below `prefix`, page by page. Not for prefixes that a client can fill without bound.
absl::StatusOr<std::vector<ObjectInfo>> ListAll(ObjectStore& store, absl::string_view prefix);

// Deletes every object whose key starts with `prefix`; returns how many.
absl::StatusOr<int64_t> DeletePrefix(ObjectStore& store, absl::string_view prefix);

}  // namespace vernier::storage
