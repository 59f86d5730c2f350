// config.json of the gpt_neox family.
#pragma once

#include "absl/status/statusor.h"
#include "worker/models/common/config_reader.h"
#include "worker/models/common/decoder.h"

namespace vernier::models {

struct GptNeoxConfig {
  DecoderTraits traits;
  bool attention_bias = true;  // query_key_value and dense have biases
};

// Defaults are transformers'. InvalidArgument: a field out of range, or one that asks for what we do not do
// (another activation or rope type).
absl::StatusOr<GptNeoxConfig> ReadGptNeoxConfig(const ConfigReader& config);

}  // namespace vernier::models
