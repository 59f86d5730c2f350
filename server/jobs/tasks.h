// What an agent is told to do for a stage. Pure.
#pragma once

#include <string>

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

// The stage's data part, whatever its kind.
const v1::Data& DataOf(const v1::Stage& stage);
// "train", "evaluate".
std::string KindOf(const v1::Stage& stage);

}  // namespace vernier::server
