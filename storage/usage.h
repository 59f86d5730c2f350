// What `vernier du` shows: bytes of a tenant by what they are.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/object_store.h"

namespace vernier::storage {

struct Usage {
  int64_t num_objects = 0;
  int64_t size_bytes = 0;
  bool operator==(const Usage&) const = default;
};

// Kinds in the order in which they are shown: datasets, models (with the records of their sources), adapters,
// prepared, checkpoints, artifacts, metrics, other. Every kind is there, also with nothing in it.
struct UsageOfKind {
  absl::string_view kind;
  Usage usage;
};
struct TenantUsage {
  std::vector<UsageOfKind> kinds;
  Usage total;
};

// Reads the listing page by page. InvalidArgument: a tenant that is none; and the store's errors.
absl::StatusOr<TenantUsage> MeasureUsage(ObjectStore& store, absl::string_view tenant);

}  // namespace vernier::storage
