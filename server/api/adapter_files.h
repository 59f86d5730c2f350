// The two files of a PEFT adapter, from strangers: only what Vernier can continue, judge and serve gets in.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "storage/safetensors.h"

namespace vernier::server {

inline constexpr absl::string_view kAdapterConfigFile = "adapter_config.json";
inline constexpr absl::string_view kAdapterTensorFile = "adapter_model.safetensors";
inline constexpr int64_t kMaxAdapterConfigBytes = int64_t{1} << 20;

// InvalidArgument, "adapter_config.json: field ...": not a LoRA, or a variant of it that is not supported
// (named).
absl::Status CheckAdapterConfig(absl::string_view json);
// InvalidArgument, "adapter_model.safetensors: tensor ...": a tensor that is no half of a LoRA pair, or
// halves that do not fit each other.
absl::Status CheckAdapterTensors(const storage::SafetensorsFile& file);

}  // namespace vernier::server
