// The files of what a tuning method exports, as parts of an artifact.
#pragma once

#include "absl/status/status.h"
#include "adapters/adapter.h"
#include "worker/stages/artifact.h"

namespace vernier::stages {

// Adds the tensors and, where it has one, the config. Internal: a tensor has a type that files do not hold.
absl::Status AddExported(ArtifactWriter& writer, const adapters::Exported& exported);

}  // namespace vernier::stages
