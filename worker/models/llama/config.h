// config.json of the llama family.
#pragma once

#include "absl/status/statusor.h"
#include "worker/models/common/config_reader.h"
#include "worker/models/common/rotary.h"
#include "worker/models/model.h"

namespace vernier::models {

struct LlamaConfig {
  ModelConfig model;
  RotaryOptions rotary;
  bool attention_bias = false;  // q, k, v and o have biases
  bool mlp_bias = false;        // gate, up and down have biases
};

// Defaults are transformers'. InvalidArgument: a field out of range, or one that asks for what we do not do
// (sliding window, another activation or rope scaling). Leaves eos_token_ids empty.
absl::StatusOr<LlamaConfig> ReadLlamaConfig(const ConfigReader& config);

}  // namespace vernier::models
