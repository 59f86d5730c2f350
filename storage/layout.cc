#include "storage/layout.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/text.h"

namespace vernier::storage {
namespace {

constexpr size_t kMaxIdBytes = 128;

bool Allowed(absl::string_view id, size_t i) {
  const char c = id[i];
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || (c == '.' && i > 0);
}

// `id` itself, or a text with a '%' in it, which no store takes as a key.
std::string Segment(absl::string_view id) {
  if (id.empty()) return "%";
  std::string segment;
  for (size_t i = 0; i < id.size(); ++i) {
    if (Allowed(id, i)) {
      segment += id[i];
    } else {
      absl::StrAppendFormat(&segment, "%%%02X", static_cast<unsigned char>(id[i]));
    }
  }
  if (id.size() > kMaxIdBytes) absl::StrAppend(&segment, "%");
  return segment;
}

}  // namespace

absl::Status CheckId(absl::string_view what, absl::string_view id) {
  bool ok = !id.empty() && id.size() <= kMaxIdBytes;
  for (size_t i = 0; ok && i < id.size(); ++i) ok = Allowed(id, i);
  if (ok) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(what, " \"", Excerpt(id), "\": an id is 1 to ", kMaxIdBytes,
                                                 " of A-Z a-z 0-9 . _ - and does not start with a point"));
}

std::string TenantFolder(absl::string_view tenant) { return absl::StrCat("tenants/", Segment(tenant)); }
std::string DatasetFolder(absl::string_view tenant, absl::string_view digest) {
  return absl::StrCat(TenantFolder(tenant), "/datasets/", Segment(digest));
}
std::string DatasetObject(absl::string_view tenant, absl::string_view digest) {
  return absl::StrCat(DatasetFolder(tenant, digest), "/data");
}
std::string ModelsFolder(absl::string_view tenant) { return absl::StrCat(TenantFolder(tenant), "/models"); }
std::string ModelFolder(absl::string_view tenant, absl::string_view digest) {
  return absl::StrCat(ModelsFolder(tenant), "/", Segment(digest));
}
std::string ModelSourceKey(absl::string_view tenant, absl::string_view source_sha256) {
  return absl::StrCat(TenantFolder(tenant), "/model_sources/", Segment(source_sha256), ".json");
}
std::string AdapterFolder(absl::string_view tenant, absl::string_view digest) {
  return absl::StrCat(TenantFolder(tenant), "/adapters/", Segment(digest));
}
std::string PreparedFolder(absl::string_view tenant, absl::string_view digest) {
  return absl::StrCat(TenantFolder(tenant), "/prepared/", Segment(digest));
}
std::string JobFolder(absl::string_view tenant, absl::string_view job) {
  return absl::StrCat(TenantFolder(tenant), "/jobs/", Segment(job));
}
std::string StageFolder(absl::string_view tenant, absl::string_view job, absl::string_view stage) {
  return absl::StrCat(JobFolder(tenant, job), "/stages/", Segment(stage));
}
std::string CheckpointsFolder(absl::string_view stage_folder) {
  return absl::StrCat(stage_folder, "/checkpoints");
}
std::string ArtifactFolder(absl::string_view stage_folder, absl::string_view name, uint64_t token,
                           absl::string_view incarnation) {
  return absl::StrCat(stage_folder, "/artifacts/", Segment(name), "-", token, "-", Segment(incarnation));
}
std::string MetricsObject(absl::string_view stage_folder, uint64_t token, absl::string_view incarnation) {
  return absl::StrCat(stage_folder, "/metrics/", token, "-", Segment(incarnation), ".jsonl");
}

ObjectPlace PlaceOf(absl::string_view key) {
  const std::vector<absl::string_view> segments = absl::StrSplit(key, '/');
  ObjectPlace place{ObjectKind::kOther, std::string(key)};
  if (segments.size() < 4 || segments[0] != "tenants") return place;
  const auto unit_of = [&](size_t num_segments) {
    return absl::StrJoin(segments.begin(), segments.begin() + static_cast<ptrdiff_t>(num_segments), "/");
  };
  struct Rule {
    absl::string_view folder;
    ObjectKind kind;
  };
  static constexpr Rule kOfTenant[] = {{"datasets", ObjectKind::kDataset},
                                       {"models", ObjectKind::kModel},
                                       {"adapters", ObjectKind::kAdapter},
                                       {"prepared", ObjectKind::kPrepared}};
  static constexpr Rule kOfStage[] = {{"checkpoints", ObjectKind::kCheckpoint},
                                      {"artifacts", ObjectKind::kArtifact}};
  for (const Rule& rule : kOfTenant) {
    if (segments[2] == rule.folder && segments.size() >= 5) return {rule.kind, unit_of(4)};
  }
  if (segments[2] == "model_sources" && segments.size() == 4) place.kind = ObjectKind::kModelSource;
  if (segments[2] != "jobs" || segments.size() < 8 || segments[4] != "stages") return place;
  for (const Rule& rule : kOfStage) {
    if (segments[6] == rule.folder && segments.size() >= 9) return {rule.kind, unit_of(8)};
  }
  if (segments[6] == "metrics" && segments.size() == 8) place.kind = ObjectKind::kMetrics;
  return place;
}

}  // namespace vernier::storage
