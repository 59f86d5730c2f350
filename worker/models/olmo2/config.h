// config.json of the olmo2 family.
#pragma once

#include "absl/status/statusor.h"
#include "worker/models/common/config_reader.h"
#include "worker/models/common/decoder.h"

namespace vernier::models {

struct Olmo2Config {
  DecoderTraits traits;
  bool attention_bias = false;  // q, k, v and o have biases
};

// Defaults are transformers'. InvalidArgument: a field out of range, or one that asks for what we do not do
// (another activation or rope type).
absl::StatusOr<Olmo2Config> ReadOlmo2Config(const ConfigReader& config);

}  // namespace vernier::models
