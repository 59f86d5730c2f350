// config.json of the gpt2 family.
#pragma once

#include "absl/status/statusor.h"
#include "worker/models/common/config_reader.h"
#include "worker/models/common/decoder.h"

namespace vernier::models {

struct Gpt2Config {
  DecoderTraits traits;
};

// Defaults are transformers'. InvalidArgument: a field out of range, or one that asks for what we do not do
// (another activation, cross-attention).
absl::StatusOr<Gpt2Config> ReadGpt2Config(const ConfigReader& config);

}  // namespace vernier::models
