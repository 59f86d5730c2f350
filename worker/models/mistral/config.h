// config.json of the mistral family.
#pragma once

#include "absl/status/statusor.h"
#include "worker/models/common/config_reader.h"
#include "worker/models/common/decoder.h"

namespace vernier::models {

struct MistralConfig {
  DecoderTraits traits;
};

// Defaults are transformers': where sliding_window is absent it is 4,096, and null means none.
// InvalidArgument: a field out of range, or one that asks for what we do not do (windows by layer, another
// activation or rope type).
absl::StatusOr<MistralConfig> ReadMistralConfig(const ConfigReader& config);

}  // namespace vernier::models
