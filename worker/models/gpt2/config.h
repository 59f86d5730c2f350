// config.json of the gpt2 family.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "worker/models/common/config_reader.h"
#include "worker/models/model.h"

namespace vernier::models {

struct Gpt2Config {
  ModelConfig model;
  std::string gelu_approximation;         // as at::gelu has it: "tanh" or "none"
  bool scale_attention = true;            // scores divided by sqrt(head_dim)
  bool scale_attention_by_layer = false;  // and by the number of the layer, from 1
};

// Defaults are transformers'. InvalidArgument: a field out of range, or one that asks for what we do not do
// (another activation, cross-attention). Leaves eos_token_ids empty.
absl::StatusOr<Gpt2Config> ReadGpt2Config(const ConfigReader& config);

}  // namespace vernier::models
