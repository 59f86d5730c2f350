// Adapters in PEFT's files, and alone in a GGUF file: written, and read back as their readers do.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "adapters/lora.h"
#include "storage/gguf_export.h"
#include "worker/stages/artifact.h"

namespace vernier::stages {

int64_t HighestRank(const adapters::Lora& lora);

// adapter_config.json and adapter_model.safetensors; LoadAdapter reads them back.
absl::Status WriteAdapter(ArtifactWriter& writer, adapters::Lora& lora, const std::string& base_name);
inline constexpr char kLoraGgufFile[] = "adapter.gguf";

// The adapter at one rank. InvalidArgument: a layer that GGUF has no name for, values that the type cannot
// hold.
absl::Status WriteLoraGguf(ArtifactWriter& writer, const storage::GgufDescription& base,
                           const storage::GgufMetadata& names, storage::GgufFloat type,
                           const adapters::Lora& lora);
absl::StatusOr<std::unique_ptr<adapters::Lora>> ReadLoraGguf(storage::ObjectStore& store,
                                                             const std::string& folder,
                                                             const storage::GgufDescription& base,
                                                             const models::CausalLm& model);

}  // namespace vernier::stages
