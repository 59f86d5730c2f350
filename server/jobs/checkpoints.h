// Which checkpoints and artifacts count: those reported under the live lease, recorded in its transaction;
// and which are kept.
#pragma once

#include "absl/status/status.h"
#include "server/jobs/draft.h"
#include "server/jobs/record.pb.h"
#include "vernier/v1/artifact.pb.h"
#include "vernier/v1/job.pb.h"

namespace vernier::server {

// The stage holds a lease in both; its token was checked. Idempotent.
// Keeps the newest n and the best one, the others' objects are deleted after the commit; pins the numeric
// class. InvalidArgument: the key is not one that this attempt may write.
absl::Status RecordCheckpoint(Draft& draft, JobRecord& record, int stage,
                              const v1::CheckpointInfo& checkpoint);
absl::Status RecordArtifact(Draft& draft, JobRecord& record, int stage, const v1::Artifact& artifact);

}  // namespace vernier::server
