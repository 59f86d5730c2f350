// What a process says with its exit code (docs/cli.md), the same in every binary: so that `vernier up` can
// pass on why one of its children did not start.
#pragma once

#include "absl/status/status.h"

namespace vernier {

// 0 for OK, else the documented code of its kind.
int ExitCodeOf(const absl::Status& status);

// The kind of error that a process ended with; Internal for any code that none of ours uses.
absl::StatusCode StatusCodeOfExit(int exit_code);

}  // namespace vernier
