// adapter_config.json of LoRA adapters, as peft 0.21 writes and reads it. Format: docs/formats/adapter.md.
#pragma once

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "adapters/lora.h"
#include "worker/models/model.h"

namespace vernier::adapters {

// The config of `lora`. The rank and the alpha of most layers become `r` and `lora_alpha`, the others go to
// rank_pattern and alpha_pattern; targets are leaf names where those mean exactly the adapted layers, else
// full paths.
nlohmann::json PeftConfig(const Lora& lora, absl::string_view base_name);

// The shapes of the adapter that a config describes. InvalidArgument: not JSON, not LoRA, an option that
// would have to be ignored (named), a value out of range, a target that the model does not have.
absl::StatusOr<Lora::Options> ReadPeftConfig(const models::CausalLm& model, absl::string_view text);

}  // namespace vernier::adapters
