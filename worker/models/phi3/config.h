// config.json of the phi3 family.
#pragma once

#include "absl/status/statusor.h"
#include "worker/models/common/config_reader.h"
#include "worker/models/common/decoder.h"

namespace vernier::models {

struct Phi3Config {
  DecoderTraits traits;
};

// Defaults are transformers'. InvalidArgument: a field out of range, or one that asks for what we do not do
// (another activation or rope type).
absl::StatusOr<Phi3Config> ReadPhi3Config(const ConfigReader& config);

}  // namespace vernier::models
