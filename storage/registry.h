// Backends by URI.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "storage/object_store.h"

namespace vernier::storage {

// "memory:" (gone with the process), "file:///path" or a plain path (a folder, created when missing).
// InvalidArgument: an unknown scheme; the message lists the known ones.
absl::StatusOr<std::unique_ptr<ObjectStore>> OpenObjectStore(absl::string_view uri);

}  // namespace vernier::storage
