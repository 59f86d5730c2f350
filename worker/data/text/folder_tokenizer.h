// The tokenizer of a Hugging Face folder: tokenizer.json, or tokenizer.model where that is all there is.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "storage/model_import.h"

namespace vernier::data {

// The text of tokenizer.json: the folder's own, or made from its tokenizer.model.
// InvalidArgument: neither can be read (what is not supported, with the list of what is); a token has an id
// that the embedding has no row for; or both files are there and disagree: on the id of a piece, or on the
// ids of a sentence.
absl::StatusOr<std::string> TokenizerJsonFromFolder(const storage::TokenizerFiles& files);

}  // namespace vernier::data
