// config.json of the gemma3 family.
#pragma once

#include "absl/status/statusor.h"
#include "worker/models/common/config_reader.h"
#include "worker/models/common/decoder.h"

namespace vernier::models {

struct Gemma3Config {
  DecoderTraits traits;
  bool attention_bias = false;  // q, k, v and o have biases
};

// Of model_type gemma3_text; the rotary options are of layers that see all tokens (first) and of windowed
// ones. Defaults are transformers'. InvalidArgument: a field out of range, or one that asks for what we do
// not do (bidirectional attention, another kind of layer, activation or rope type).
absl::StatusOr<Gemma3Config> ReadGemma3Config(const ConfigReader& config);

}  // namespace vernier::models
