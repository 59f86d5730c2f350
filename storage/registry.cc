#include "storage/registry.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/registry.h"
#include "common/status_macros.h"
#include "storage/folder_store.h"
#include "storage/memory_store.h"

namespace vernier::storage {
namespace {

struct Backend {
  absl::string_view name;  // the URI's scheme
  absl::StatusOr<std::unique_ptr<ObjectStore>> (*open)(absl::string_view rest);
};

absl::StatusOr<std::unique_ptr<ObjectStore>> OpenMemory(absl::string_view rest) {
  if (!rest.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("object store \"memory:", rest, "\": write just memory:"));
  }
  return std::make_unique<MemoryStore>();
}

absl::StatusOr<std::unique_ptr<ObjectStore>> OpenFolder(absl::string_view rest) {
  if (!absl::StartsWith(rest, "///")) {
    return absl::InvalidArgumentError(
        absl::StrCat("object store \"file:", rest, "\": write file:///absolute/path, without a host"));
  }
  return FolderStore::Open({.root = std::string(rest.substr(2))});
}

constexpr Backend kBackends[] = {
    {"memory", OpenMemory},
    {"file", OpenFolder},
};

}  // namespace

absl::StatusOr<std::unique_ptr<ObjectStore>> OpenObjectStore(absl::string_view uri) {
  const size_t colon = uri.find(':');
  const size_t slash = uri.find('/');
  if (colon == absl::string_view::npos || slash < colon) return FolderStore::Open({.root = std::string(uri)});
  VN_ASSIGN_OR_RETURN(const Backend* backend,
                      FindEntry(absl::Span<const Backend>(kBackends), "object store", uri.substr(0, colon)));
  return backend->open(uri.substr(colon + 1));
}

}  // namespace vernier::storage
