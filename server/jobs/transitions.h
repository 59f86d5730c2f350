// Which state may follow which (DESIGN section 3). A transition that is not here is our bug.
#pragma once

#include <string>

#include "vernier/v1/job.pb.h"

namespace vernier::server {

bool CanFollow(v1::JobState from, v1::JobState to);
bool CanFollow(v1::StageState from, v1::StageState to);

// Nothing runs or waits in these. Only a resume of a failed job leaves one: FAILED, and what its stages were.
bool HasEnded(v1::JobState state);
bool HasEnded(v1::StageState state);

// "running", "cancelling": for sentences.
std::string NameOf(v1::JobState state);

}  // namespace vernier::server
