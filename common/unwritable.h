// Errors of a place that takes no bytes for now: full, over its quota, read-only, closed to this user. An
// operator mends that, so work that hits one waits instead of failing. The mark is a payload: it travels with
// copies of the status, not over RPCs.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace vernier {

bool IsUnwritable(const absl::Status& status);

// `status` with the mark. It must not be OK.
absl::Status MarkUnwritable(absl::Status status);

// ErrnoStatus (common/file.h) of an operation that writes `what`, marked where it fits.
absl::Status WriteErrnoStatus(int error, absl::string_view what);

}  // namespace vernier
