// A loaded model as the GGUF export needs it described.
#pragma once

#include "absl/status/statusor.h"
#include "storage/gguf_description.h"
#include "worker/stages/inputs.h"

namespace vernier::stages {

// InvalidArgument: GGUF files are not written for such a model, or cannot say what is special about it.
absl::StatusOr<storage::GgufDescription> DescribeForGguf(const BaseModel& base);

}  // namespace vernier::stages
