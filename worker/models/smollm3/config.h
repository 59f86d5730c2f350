// config.json of the smollm3 family.
#pragma once

#include "absl/status/statusor.h"
#include "worker/models/common/config_reader.h"
#include "worker/models/common/decoder.h"

namespace vernier::models {

struct Smollm3Config {
  DecoderTraits traits;
  bool attention_bias = false;  // q, k, v and o have biases
  bool mlp_bias = false;        // gate, up and down have biases
};

// Defaults are transformers'. InvalidArgument: a field out of range, or one that asks for what we do not do
// (another kind of layer, activation or rope type).
absl::StatusOr<Smollm3Config> ReadSmollm3Config(const ConfigReader& config);

}  // namespace vernier::models
