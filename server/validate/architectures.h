// What refusing a job early needs to know of each model family: the linear layers that a tuning method may
// name. A family that is not listed is not checked here; the trainer checks all of them against the model
// itself.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace vernier::server {

// Last parts of names, the head left out; empty for a family that is not listed.
std::vector<std::string> LinearLayersOf(absl::string_view architecture);

}  // namespace vernier::server
