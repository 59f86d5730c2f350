// Which Vernier this is.
#pragma once

#include "absl/strings/string_view.h"

namespace vernier {

// "0.1.0", or "0.1.0 (1a2b3c4)" when configured inside a git checkout; "-dirty" marks uncommitted changes.
absl::string_view Version();

}  // namespace vernier
