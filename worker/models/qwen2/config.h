// config.json of the qwen2 family.
#pragma once

#include "absl/status/statusor.h"
#include "worker/models/common/config_reader.h"
#include "worker/models/common/decoder.h"

namespace vernier::models {

struct Qwen2Config {
  DecoderTraits traits;
};

// Defaults are transformers'. InvalidArgument: a field out of range, or one that asks for what we do not do
// (another kind of layer, activation or rope type).
absl::StatusOr<Qwen2Config> ReadQwen2Config(const ConfigReader& config);

}  // namespace vernier::models
