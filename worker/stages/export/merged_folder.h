// A Hugging Face folder with adapters merged into its weights.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "worker/stages/artifact.h"
#include "worker/stages/export/hand_over.h"
#include "worker/stages/export/source.h"

namespace vernier::stages {

// Called with the bytes written so far; an error ends the writing.
using OnBytes = std::function<absl::Status(int64_t bytes)>;

// The files of the base under their names, shards as they are, tensors in their own types, one at a time.
absl::Status WriteMergedFolder(ArtifactWriter& writer, const MergedTensors& tensors,
                               const HandOver& hand_over, const OnBytes& on_bytes);

}  // namespace vernier::stages
