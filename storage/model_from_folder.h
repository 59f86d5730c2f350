// A Hugging Face folder as a model, its files as they are. Internal to the import.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "storage/model_draft.h"

namespace vernier::storage {

// Checks config.json and the headers of the weights; `root` as in ImportOptions.
// NotFound: a file is missing. InvalidArgument: not a model that can be imported (what and why).
// PermissionDenied: a file's link leads out of `root`.
absl::StatusOr<ModelDraft> DraftFromFolder(const std::string& folder, const std::string& root,
                                           const TokenizerFromFolder& tokenizer);

}  // namespace vernier::storage
