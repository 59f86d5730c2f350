// From what a user wrote to what will run: every default filled in and every name resolved, or every field
// error at once. A job that cannot run is refused here, with the reason (law 7).
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/jobs/record.pb.h"
#include "server/validate/catalog.h"
#include "vernier/v1/job.pb.h"

namespace vernier::server {

struct Validated {
  v1::JobSpec spec;                 // effective; validating it again changes nothing
  std::vector<StageRecord> stages;  // one per spec.stages
};

// Pure. InvalidArgument: one line per error, each `[stage "id": ]path = value what; what to do`.
absl::StatusOr<Validated> ValidateSpec(const v1::JobSpec& spec, const Catalog& catalog,
                                       int64_t max_spec_bytes, absl::Time now);

}  // namespace vernier::server
