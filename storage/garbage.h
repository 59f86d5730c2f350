// What `vernier gc` would delete: objects of a tenant that nothing refers to any more. Only decides; deletes
// nothing.
//
// What is live is the caller's knowledge (the job store's): prefixes ending in '/' for folders, keys for
// single objects. An object younger than the grace period is never garbage: uploads, imports and running
// attempts write their parts before anything refers to them.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "storage/object_store.h"

namespace vernier::storage {

// Immutable, thread-safe.
class LiveKeys {
 public:
  // Order and repeats do not matter. An entry that ends in '/' keeps everything below it, any other one
  // object.
  explicit LiveKeys(absl::Span<const std::string> prefixes) : entries_(prefixes.begin(), prefixes.end()) {}

  bool Contains(absl::string_view key) const { return !Keeper(key).empty(); }
  // The entry that keeps `key`: the shortest one. "" = none.
  std::string Keeper(absl::string_view key) const;

 private:
  std::set<std::string, std::less<>> entries_;
};

struct GarbageOptions {
  absl::Time now;
  absl::Duration grace =
      absl::Hours(24);  // longer than any upload, import or attempt at writing a checkpoint
};

struct GarbageObject {
  ObjectInfo object;
  std::string reason;  // one sentence for the user
};

struct GarbagePage {
  std::vector<GarbageObject> objects;  // in order of their keys
  // Pass as the next page's `start_after`; "" = there is no next page.
  std::string next_start_after;
};

// The next garbage of `tenant`, at most `limit` (at least 1) objects, whose keys come after `start_after` (""
// = from the first). Needs memory for one page of a listing and one of garbage. Live folders are skipped, not
// read. InvalidArgument: a tenant that is none, or limit < 1; and the store's errors.
absl::StatusOr<GarbagePage> PlanGarbage(ObjectStore& store, absl::string_view tenant, const LiveKeys& live,
                                        const GarbageOptions& options, absl::string_view start_after,
                                        int limit);

}  // namespace vernier::storage
