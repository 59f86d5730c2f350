// A GGUF file as a model in Hugging Face's form. Internal to the import.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "storage/gguf.h"
#include "storage/model_draft.h"
#include "storage/model_import.h"

namespace vernier::storage {

// The draft keeps the file open. InvalidArgument: not a model that can be imported (what and why).
absl::StatusOr<ModelDraft> DraftFromGguf(std::shared_ptr<const Gguf> gguf,
                                         const TokenizerFromGguf& tokenizer);

}  // namespace vernier::storage
