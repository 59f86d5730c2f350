#include "storage/garbage.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "storage/layout.h"
#include "storage/manifest.h"
#include "storage/model_import.h"

namespace vernier::storage {
namespace {

constexpr int kListPageObjects = 1000;

absl::string_view WhatItWas(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::kDataset:
      return "no dataset refers to it";
    case ObjectKind::kModel:
      return "no imported model refers to it";
    case ObjectKind::kModelSource:
      return "the model that this file became is gone";
    case ObjectKind::kAdapter:
      return "no imported adapter refers to it";
    case ObjectKind::kPrepared:
      return "no job uses this prepared data";
    case ObjectKind::kCheckpoint:
      return "no job counts this checkpoint: an attempt that lost its lease wrote it, or its job is gone";
    case ObjectKind::kArtifact:
      return "no job published this artifact: an attempt that lost its lease wrote it, or its job is gone";
    case ObjectKind::kMetrics:
      return "the job of these metrics is gone";
    case ObjectKind::kOther:
      return "nothing of this version writes such a key";
  }
  return "";
}

// Ages are for people: the largest unit is enough.
std::string Age(absl::Duration age) {
  if (age >= absl::Hours(48)) return absl::StrCat(age / absl::Hours(24), " days");
  if (age >= absl::Hours(1)) return absl::StrCat(age / absl::Hours(1), " h");
  return absl::StrCat(age / absl::Minutes(1), " min");
}

// A record of where a model came from lives as long as the model.
absl::StatusOr<bool> SourceIsLive(ObjectStore& store, absl::string_view tenant, absl::string_view key,
                                  const LiveKeys& live) {
  const absl::StatusOr<ModelSource> source = ReadModelSource(store, key);
  if (absl::IsNotFound(source.status())) return true;  // deleted meanwhile
  VN_RETURN_IF_ERROR(source.status());
  return live.Contains(absl::StrCat(ModelFolder(tenant, source->model_digest), "/", kManifestName));
}

}  // namespace

std::string LiveKeys::Keeper(absl::string_view key) const {
  for (size_t slash = key.find('/'); slash != absl::string_view::npos; slash = key.find('/', slash + 1)) {
    const absl::string_view folder = key.substr(0, slash + 1);
    if (entries_.contains(folder)) return std::string(folder);
  }
  return entries_.contains(key) ? std::string(key) : "";
}

absl::StatusOr<GarbagePage> PlanGarbage(ObjectStore& store, absl::string_view tenant, const LiveKeys& live,
                                        const GarbageOptions& options, absl::string_view start_after,
                                        int limit) {
  VN_RETURN_IF_ERROR(CheckId("tenant", tenant));
  if (limit < 1) return absl::InvalidArgumentError(absl::StrCat("limit = ", limit, " is below 1"));
  const std::string prefix = absl::StrCat(TenantFolder(tenant), "/");
  GarbagePage plan;
  std::string after(start_after);
  while (true) {
    VN_ASSIGN_OR_RETURN(const std::vector<ObjectInfo> page, store.List(prefix, after, kListPageObjects));
    bool skipped = false;
    for (const ObjectInfo& info : page) {
      if (skipped && info.key <= after) continue;  // below a live folder
      after = info.key;
      if (const std::string keeper = live.Keeper(info.key); !keeper.empty()) {
        if (!absl::EndsWith(keeper, "/")) continue;
        // Behind everything below the folder: keys are ASCII.
        after = absl::StrCat(keeper, "\x7f");
        skipped = true;
        continue;
      }
      const absl::Duration age = options.now - info.modify_time;
      if (age < options.grace) continue;
      const ObjectPlace place = PlaceOf(info.key);
      if (place.kind == ObjectKind::kModelSource) {
        VN_ASSIGN_OR_RETURN(const bool source_is_live, SourceIsLive(store, tenant, info.key, live));
        if (source_is_live) continue;
      }
      plan.objects.push_back(
          {info, absl::StrCat(WhatItWas(place.kind), "; last written ", Age(age), " ago")});
      if (static_cast<int>(plan.objects.size()) == limit) {
        plan.next_start_after = after;
        return plan;
      }
    }
    if (page.size() < kListPageObjects) return plan;
  }
}

}  // namespace vernier::storage
