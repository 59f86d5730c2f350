// Paths that a user names on the server, confined to a root. Internal to the import.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace vernier::storage {

// `path` with every link followed; what it names must be below `root` ("" = anywhere).
// NotFound: nothing is there. PermissionDenied: it lies outside.
absl::StatusOr<std::string> ResolvePath(const std::string& path, const std::string& root);

// The same, for a file. InvalidArgument: a folder, device or pipe.
absl::StatusOr<std::string> ResolveFile(const std::string& path, const std::string& root);

}  // namespace vernier::storage
