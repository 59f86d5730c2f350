// The "model" of tokenizer.json: vocabulary, merges, scores.
#pragma once

#include "absl/status/status.h"
#include "worker/data/text/json_at.h"
#include "worker/data/text/token_ids.h"
#include "worker/data/text/tokenizer_spec.h"

namespace vernier::data {

// InvalidArgument: malformed, over a limit, or a kind or an option that is not supported, with the list of
// what is.
absl::Status ReadModel(const JsonAt& model, TokenIds* ids, TokenizerSpec* spec);

}  // namespace vernier::data
