#include "storage/memory_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/digest.h"
#include "common/status_macros.h"

namespace vernier::storage {
namespace {

absl::Status NoSuchObject(absl::string_view key) {
  return absl::NotFoundError(absl::StrCat(key, ": no such object in memory:"));
}

}  // namespace

class MemoryStore::Writer final : public ObjectWriter {
 public:
  Writer(MemoryStore& store, absl::string_view key, WriteMode mode) : store_(store), key_(key), mode_(mode) {}

  absl::Status Append(absl::string_view bytes) override {
    absl::StrAppend(&bytes_, bytes);
    return absl::OkStatus();
  }

  absl::StatusOr<ByteDigest> Finish() override {
    ByteDigest digest{static_cast<int64_t>(bytes_.size()), Sha256Hex(bytes_)};
    VN_RETURN_IF_ERROR(store_.Commit(key_, std::move(bytes_), mode_));
    return digest;
  }

 private:
  MemoryStore& store_;
  const std::string key_;
  const WriteMode mode_;
  std::string bytes_;
};

absl::StatusOr<std::unique_ptr<ObjectWriter>> MemoryStore::OpenWriter(absl::string_view key, WriteMode mode) {
  VN_RETURN_IF_ERROR(CheckKey(key));
  return std::make_unique<Writer>(*this, key, mode);
}

absl::Status MemoryStore::Commit(const std::string& key, std::string bytes, WriteMode mode) {
  MutexLock lock(mutex_);
  const auto found = objects_.find(key);
  if (found != objects_.end()) {
    if (mode == WriteMode::kIfAbsent) {
      if (*found->second.bytes == bytes) return absl::OkStatus();
      return absl::AlreadyExistsError(absl::StrCat(key, ": exists in memory: with other bytes"));
    }
  } else {
    const auto below = objects_.lower_bound(absl::StrCat(key, "/"));
    if (below != objects_.end() && absl::StartsWith(below->first, absl::StrCat(key, "/"))) {
      return absl::FailedPreconditionError(
          absl::StrCat(key, ": is the folder of other objects, such as ", below->first));
    }
    for (size_t slash = key.find('/'); slash != std::string::npos; slash = key.find('/', slash + 1)) {
      if (objects_.contains(key.substr(0, slash))) {
        return absl::FailedPreconditionError(
            absl::StrCat(key, ": ", key.substr(0, slash), " is an object, so nothing can lie below it"));
      }
    }
  }
  objects_[key] = Object{std::make_shared<const std::string>(std::move(bytes)), absl::Now()};
  return absl::OkStatus();
}

absl::StatusOr<std::string> MemoryStore::GetRange(absl::string_view key, int64_t offset, int64_t length) {
  VN_RETURN_IF_ERROR(CheckKey(key));
  std::shared_ptr<const std::string> bytes;
  {
    MutexLock lock(mutex_);
    const auto found = objects_.find(key);
    if (found == objects_.end()) return NoSuchObject(key);
    bytes = found->second.bytes;
  }
  const int64_t size = static_cast<int64_t>(bytes->size());
  if (offset < 0 || length < 0 || offset > size) {
    return absl::InvalidArgumentError(
        absl::StrCat(key, ": asked for ", length, " bytes from offset ", offset, "; the object has ", size));
  }
  return bytes->substr(offset, length);
}

absl::StatusOr<ObjectInfo> MemoryStore::Head(absl::string_view key) {
  VN_RETURN_IF_ERROR(CheckKey(key));
  MutexLock lock(mutex_);
  const auto found = objects_.find(key);
  if (found == objects_.end()) return NoSuchObject(key);
  return ObjectInfo{std::string(key), static_cast<int64_t>(found->second.bytes->size()),
                    found->second.modify_time};
}

absl::StatusOr<std::vector<ObjectInfo>> MemoryStore::List(absl::string_view prefix,
                                                          absl::string_view start_after, int limit) {
  std::vector<ObjectInfo> page;
  MutexLock lock(mutex_);
  auto it = start_after >= prefix ? objects_.upper_bound(start_after) : objects_.lower_bound(prefix);
  for (; it != objects_.end() && static_cast<int64_t>(page.size()) < limit; ++it) {
    if (!absl::StartsWith(it->first, prefix)) break;
    page.push_back({it->first, static_cast<int64_t>(it->second.bytes->size()), it->second.modify_time});
  }
  return page;
}

absl::Status MemoryStore::Delete(absl::string_view key) {
  VN_RETURN_IF_ERROR(CheckKey(key));
  MutexLock lock(mutex_);
  if (const auto found = objects_.find(key); found != objects_.end()) objects_.erase(found);
  return absl::OkStatus();
}

}  // namespace vernier::storage
