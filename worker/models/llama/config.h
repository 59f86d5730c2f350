// config.json of the llama family.
#pragma once

#include "absl/status/statusor.h"
#include "worker/models/common/config_reader.h"
#include "worker/models/common/decoder.h"

namespace vernier::models {

struct LlamaConfig {
  DecoderTraits traits;
  bool attention_bias = false;  // q, k, v and o have biases
  bool mlp_bias = false;        // gate, up and down have biases
};

// Defaults are transformers'. InvalidArgument: a field out of range, or one that asks for what we do not do
// (a sliding window, another activation or rope type).
absl::StatusOr<LlamaConfig> ReadLlamaConfig(const ConfigReader& config);

}  // namespace vernier::models
