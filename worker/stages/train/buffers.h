// Copies of a run's buffers, and back: what checkpoints are written from and restored into.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/safetensors.h"
#include "worker/trainer/run.h"

namespace vernier::stages {

struct CopiedBuffer {
  storage::TensorSpec spec;  // fp32
  std::vector<float> values;
};
using Buffers = std::vector<CopiedBuffer>;

// All of a run's buffers whose name starts with `prefix` ("" = all), as they are now.
Buffers CopyBuffers(trainer::Run& run, absl::string_view prefix);

// The trained parameters among them.
inline constexpr absl::string_view kParameterPrefix = "parameter/";

// Views for a writer; valid while `buffers` lives.
std::vector<storage::TensorView> ViewsOf(const Buffers& buffers);

// The tensors of a file as copies. DataLoss: one is not fp32.
absl::StatusOr<Buffers> ReadBuffers(const storage::SafetensorsFile& file, absl::string_view name);

// Writes `buffers` into those of `run` whose name starts with `prefix`. DataLoss: one is missing, left over
// or of another shape; `name` starts the message. Nothing changes then.
absl::Status RestoreBuffers(const Buffers& buffers, absl::string_view prefix, absl::string_view name,
                            trainer::Run& run);

}  // namespace vernier::stages
