// A JobStore in one SQLite file: WAL, every transaction flushed to disk before Commit returns.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/jobs/job_store.h"

namespace vernier::server {

// Opens `path`, or creates it (its folder must exist). The file stays locked while the store lives.
// FailedPrecondition: not a job store, or one of another version. Unavailable: another vernierd has it open.
// DataLoss: damaged. ResourceExhausted: no space. PermissionDenied, NotFound: the path.
absl::StatusOr<std::unique_ptr<JobStore>> OpenSqliteJobStore(const std::string& path);

}  // namespace vernier::server
