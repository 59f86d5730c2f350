#include "common/version.h"

namespace vernier {

// Defined by common/CMakeLists.txt for this file alone, so that a new commit recompiles nothing else.
absl::string_view Version() { return VERNIER_VERSION; }

}  // namespace vernier
