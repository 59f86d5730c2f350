#include "server/jobs/checkpoints.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/text.h"
#include "storage/layout.h"

namespace vernier::server {
namespace {

constexpr int kMaxFiles = 4096;    // of an artifact
constexpr int kMaxArtifacts = 64;  // of a stage

std::string FolderOf(const JobRecord& record, int index) {
  return storage::StageFolder(record.tenant(), record.id(), record.stages(index).id());
}

// Leaves the newest `keep` and the best one. What the attempt resumed from was read before it wrote its
// first.
void DropOld(Draft& draft, JobRecord& record, int index) {
  StageRecord& stage = *record.mutable_stages(index);
  auto& checkpoints = *record.mutable_job()->mutable_stages(index)->mutable_checkpoints();
  const int keep = std::max(1, record.job().spec().stages(index).train().checkpoint().keep());
  std::vector<v1::CheckpointInfo> kept;
  for (int i = 0; i < checkpoints.size(); ++i) {
    v1::CheckpointInfo& checkpoint = checkpoints[i];
    if (i >= checkpoints.size() - keep || checkpoint.best()) {
      kept.push_back(std::move(checkpoint));
    } else {
      draft.Then(DeleteObjects{absl::StrCat(checkpoint.key(), "/")});
    }
  }
  checkpoints.Assign(std::make_move_iterator(kept.begin()), std::make_move_iterator(kept.end()));
  auto& damaged = *stage.mutable_damaged();
  damaged.erase(std::remove_if(damaged.begin(), damaged.end(),
                               [&](const std::string& key) {
                                 return absl::c_none_of(checkpoints,
                                                        [&](const v1::CheckpointInfo& checkpoint) {
                                                          return checkpoint.key() == key;
                                                        });
                               }),
                damaged.end());
}

}  // namespace

absl::Status RecordCheckpoint(Draft& draft, JobRecord& record, int index,
                              const v1::CheckpointInfo& checkpoint) {
  StageRecord& stage = *record.mutable_stages(index);
  LeaseRecord& lease = *stage.mutable_lease();
  const std::string folder = absl::StrCat(storage::CheckpointsFolder(FolderOf(record, index)), "/");
  if (!absl::StartsWith(checkpoint.key(), folder) ||
      !absl::EndsWith(checkpoint.key(), absl::StrCat("-", lease.token(), "-", lease.incarnation())) ||
      absl::StrContains(checkpoint.key().substr(folder.size()), '/')) {
    return absl::InvalidArgumentError(absl::StrCat("checkpoint key ", Excerpt(checkpoint.key(), 300),
                                                   " is not ", folder, "<step>-", lease.token(), "-",
                                                   lease.incarnation()));
  }
  auto& checkpoints = *record.mutable_job()->mutable_stages(index)->mutable_checkpoints();
  const auto known = absl::c_find_if(
      checkpoints, [&](const v1::CheckpointInfo& other) { return other.key() == checkpoint.key(); });
  if (known != checkpoints.end()) return absl::OkStatus();
  if (checkpoint.best()) {
    for (v1::CheckpointInfo& other : checkpoints) other.set_best(false);
  }
  v1::CheckpointInfo& added = *checkpoints.Add();
  added = checkpoint;
  if (!added.has_create_time()) *added.mutable_create_time() = ToTimestamp(draft.now());
  DropOld(draft, record, index);
  lease.set_progressed(true);
  stage.set_attempts_without_progress(0);
  stage.set_threads(lease.threads());
  stage.set_isa(lease.isa());
  stage.set_device_kind(lease.device_kind());
  draft.AddEvent(
      record, "info", stage.id(),
      absl::StrCat("checkpoint at step ", checkpoint.step(), checkpoint.best() ? ", the best so far" : ""));
  return absl::OkStatus();
}

absl::Status RecordArtifact(Draft& draft, JobRecord& record, int index, const v1::Artifact& artifact) {
  StageRecord& stage = *record.mutable_stages(index);
  const std::string folder = absl::StrCat(FolderOf(record, index), "/artifacts/");
  const std::string attempt = absl::StrCat("-", stage.lease().token(), "-", stage.lease().incarnation());
  if (!absl::StartsWith(artifact.key(), folder) || !absl::EndsWith(artifact.key(), attempt) ||
      artifact.name().empty() || artifact.name().size() > 128 || artifact.files_size() > kMaxFiles) {
    return absl::InvalidArgumentError(absl::StrCat(
        "artifact \"", Excerpt(artifact.name()), "\" with key ", Excerpt(artifact.key(), 300), " is not ",
        folder, "<name>", attempt, ", or has no name, or above ", kMaxFiles, " files"));
  }
  v1::Artifact added = artifact;
  added.set_job(record.job().name());
  added.set_stage(stage.id());
  if (!added.has_create_time()) *added.mutable_create_time() = ToTimestamp(draft.now());
  auto& artifacts = *stage.mutable_artifacts();
  const auto same_name =
      absl::c_find_if(artifacts, [&](const v1::Artifact& other) { return other.name() == artifact.name(); });
  if (same_name == artifacts.end()) {
    if (artifacts.size() >= kMaxArtifacts) {
      return absl::InvalidArgumentError(absl::StrCat(
          "artifact \"", Excerpt(artifact.name()), "\" is one more than ", kMaxArtifacts, " of this stage"));
    }
    *artifacts.Add() = std::move(added);
  } else {
    // An attempt before published it and was lost before it could say that it had finished.
    if (same_name->key() != added.key()) draft.Then(DeleteObjects{absl::StrCat(same_name->key(), "/")});
    *same_name = std::move(added);
  }
  draft.AddEvent(record, "info", stage.id(),
                 absl::StrCat("published ", artifact.name(), " (", HumanBytes(artifact.size_bytes()), ")"));
  return absl::OkStatus();
}

}  // namespace vernier::server
