// Architectures that can be imported: one line each in model_family.cc. Internal to the import.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/gguf_plan.h"

namespace vernier::storage {

struct ModelFamily {
  absl::string_view name;           // Hugging Face's model_type and GGUF's general.architecture
  absl::string_view causal_class;   // in config.json's "architectures"
  absl::string_view context_field;  // of config.json: the most tokens it can take
  absl::string_view embedding;      // ends the name of the token embedding [vocabulary, width]
  absl::StatusOr<GgufPlan> (*plan_gguf)(const Gguf&);
};

absl::Span<const ModelFamily> ModelFamilies();

// InvalidArgument, starting with `where`: there is none called so; lists those there are.
absl::StatusOr<const ModelFamily*> FindModelFamily(absl::string_view where, absl::string_view name);

}  // namespace vernier::storage
