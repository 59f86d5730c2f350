#include "storage/source_path.h"

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace vernier::storage {

absl::StatusOr<std::string> ResolvePath(const std::string& path, const std::string& root) {
  std::error_code error;
  // Weakly: what is outside of the root is refused before a message could tell whether it exists.
  const std::string real = std::filesystem::weakly_canonical(path, error).string();
  if (error) return ErrnoStatus(error.value(), path);
  if (!root.empty()) {
    std::string inside = std::filesystem::canonical(root, error).string();
    if (error) return ErrnoStatus(error.value(), root);
    if (inside != "/") inside += '/';
    if (!absl::StartsWith(absl::StrCat(real, "/"), inside)) {
      return absl::PermissionDeniedError(absl::StrCat(path, ": lies outside of ", root,
                                                      " (links are followed); move it there, or start the ",
                                                      "service with another --import-root"));
    }
  }
  if (!std::filesystem::exists(real, error)) return ErrnoStatus(error ? error.value() : ENOENT, path);
  return real;
}

absl::StatusOr<std::string> ResolveFile(const std::string& path, const std::string& root) {
  VN_ASSIGN_OR_RETURN(std::string real, ResolvePath(path, root));
  std::error_code error;
  const bool regular = std::filesystem::is_regular_file(real, error);
  if (error) return ErrnoStatus(error.value(), path);
  if (!regular) return absl::InvalidArgumentError(absl::StrCat(path, ": is not a regular file"));
  return real;
}

}  // namespace vernier::storage
