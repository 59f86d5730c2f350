// The few things preparing asks of a store, so that its logic is tested without one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/object_store.h"

namespace vernier::data {

// Errors: NotFound (no such key), Unavailable, ResourceExhausted (disk full), DataLoss; messages start with
// the key. Thread-safe.
class Blobs {
 public:
  virtual ~Blobs() = default;
  virtual absl::StatusOr<int64_t> Size(const std::string& key) = 0;
  virtual absl::StatusOr<std::string> ReadAt(const std::string& key, int64_t offset, int64_t max_bytes) = 0;
  virtual absl::Status Put(const std::string& key, absl::string_view bytes) = 0;
  // Success too when the key holds equal bytes already.
  virtual absl::Status PutOnce(const std::string& key, absl::string_view bytes) = 0;
  // Makes an object of any size; it replaces one of that key when it is finished.
  virtual absl::StatusOr<std::unique_ptr<storage::ObjectWriter>> OpenWriter(const std::string& key) = 0;
  // OK too when there is no such object.
  virtual absl::Status Delete(const std::string& key) = 0;
  // A local file that holds the object, "" when there is none.
  virtual std::string LocalPath(const std::string& key) = 0;
};

// `store` must outlive the result.
std::unique_ptr<Blobs> BlobsOf(storage::ObjectStore& store);

// The whole object. InvalidArgument: larger than `max_bytes`.
absl::StatusOr<std::string> ReadWhole(Blobs& blobs, const std::string& key, int64_t max_bytes);

}  // namespace vernier::data
