// Architectures that can be imported: one line each in model_family.cc. Internal to import and export.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/gguf_description.h"
#include "storage/gguf_plan.h"

namespace vernier::storage {

struct ModelFamily {
  absl::string_view name;           // Hugging Face's model_type
  absl::string_view causal_class;   // in config.json's "architectures"
  absl::string_view context_field;  // of config.json: the most tokens it can take
  absl::string_view embedding;      // ends the name of the token embedding [vocabulary, width]
  absl::string_view head;           // name of the output projection where it is not tied
  // Of rope_scaling or rope_parameters, as the family's code in worker/models has them; empty: no rotary
  // positions.
  absl::Span<const absl::string_view> rope_types;
  bool tied_by_default = false;      // tie_word_embeddings where config.json has none
  absl::string_view gguf_name = {};  // GGUF's general.architecture; empty: GGUF files are not read
  absl::StatusOr<GgufPlan> (*plan_gguf)(const Gguf&) = nullptr;
  // Null: GGUF files are not written.
  absl::StatusOr<GgufDescription> (*describe_gguf)(const GgufModelFacts&) = nullptr;
};

absl::Span<const ModelFamily> ModelFamilies();

// InvalidArgument, starting with `where`: there is none called so; lists those there are.
absl::StatusOr<const ModelFamily*> FindModelFamily(absl::string_view where, absl::string_view name);
// By GGUF's name.
absl::StatusOr<const ModelFamily*> FindGgufFamily(absl::string_view where, absl::string_view name);

}  // namespace vernier::storage
