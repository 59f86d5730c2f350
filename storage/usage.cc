#include "storage/usage.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "storage/layout.h"

namespace vernier::storage {
namespace {

constexpr int kUsagePageObjects = 1000;

absl::string_view NameOf(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::kDataset:
      return "datasets";
    case ObjectKind::kModel:
    case ObjectKind::kModelSource:
      return "models";
    case ObjectKind::kAdapter:
      return "adapters";
    case ObjectKind::kPrepared:
      return "prepared";
    case ObjectKind::kCheckpoint:
      return "checkpoints";
    case ObjectKind::kArtifact:
      return "artifacts";
    case ObjectKind::kMetrics:
      return "metrics";
    case ObjectKind::kOther:
      break;
  }
  return "other";
}

void Count(const ObjectInfo& info, Usage& usage) {
  ++usage.num_objects;
  usage.size_bytes += info.size_bytes;
}

}  // namespace

absl::StatusOr<TenantUsage> MeasureUsage(ObjectStore& store, absl::string_view tenant) {
  VN_RETURN_IF_ERROR(CheckId("tenant", tenant));
  TenantUsage result;
  for (const absl::string_view kind :
       {"datasets", "models", "adapters", "prepared", "checkpoints", "artifacts", "metrics", "other"}) {
    result.kinds.push_back({kind, {}});
  }
  const std::string prefix = absl::StrCat(TenantFolder(tenant), "/");
  std::string after;
  while (true) {
    VN_ASSIGN_OR_RETURN(const std::vector<ObjectInfo> page, store.List(prefix, after, kUsagePageObjects));
    for (const ObjectInfo& info : page) {
      Count(info, result.total);
      const absl::string_view name = NameOf(PlaceOf(info.key).kind);
      for (UsageOfKind& kind : result.kinds) {
        if (kind.kind == name) Count(info, kind.usage);
      }
    }
    if (page.size() < kUsagePageObjects) return result;
    after = page.back().key;
  }
}

}  // namespace vernier::storage
