// config.json of the gemma2 family.
#pragma once

#include "absl/status/statusor.h"
#include "worker/models/common/config_reader.h"
#include "worker/models/common/decoder.h"

namespace vernier::models {

struct Gemma2Config {
  DecoderTraits traits;
  bool attention_bias = false;  // q, k, v and o have biases
};

// Defaults are transformers': where a cap is absent it is Gemma 2's, and null means none. InvalidArgument: a
// field out of range, or one that asks for what we do not do (bidirectional attention, another kind of layer,
// activation or rope type).
absl::StatusOr<Gemma2Config> ReadGemma2Config(const ConfigReader& config);

}  // namespace vernier::models
