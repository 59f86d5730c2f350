// What an agent is told to do for a stage. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "scheduler/cluster_view.h"
#include "server/jobs/record.pb.h"
#include "vernier/v1/task.pb.h"

namespace vernier::server {

// Preparing the rows of a stage. Stages with equal answers share one preparation.
v1::PrepareTask PrepareTaskOf(const JobRecord& record, int stage);

// The whole task under `lease`, which says what it resumes from.
// FailedPrecondition: an artifact that it builds on is gone.
absl::StatusOr<v1::Task> TaskOf(const JobRecord& record, int stage, const LeaseRecord& lease,
                                absl::string_view store_uri);

// The newest checkpoint that may be resumed from; null: from the start.
const v1::CheckpointInfo* ResumePoint(const JobRecord& record, int stage);

// What the scheduler needs to know of a stage that waits, without reasons and back-off of its own.
scheduler::PendingView PendingOf(const JobRecord& record, int stage);

// The datasets of a stage: as the user named them, and their digests.
std::vector<std::pair<std::string, std::string>> DatasetsOf(const JobRecord& record, int stage);

// Tasks know things by their keys, users by their names: `message` with `what "name"` before it where it
// speaks of that key.
std::string Naming(absl::string_view message, absl::string_view what, absl::string_view name,
                   absl::string_view key);
// The same for the model and the datasets of a stage.
std::string NamingInputs(absl::string_view message, const JobRecord& record, int stage);

// Whether the stage reads rows.
bool HasData(const v1::Stage& stage);
// The stage's data part, where it has one.
const v1::Data& DataOf(const v1::Stage& stage);
// "train", "evaluate", "export".
std::string KindOf(const v1::Stage& stage);

}  // namespace vernier::server
