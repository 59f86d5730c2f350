// The parts of tokenizer.json around the model: normalizer, pre_tokenizer, decoder, post_processor.
// Each reader gives InvalidArgument for what is not supported, by name and with the list of what is.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/data/text/json_at.h"
#include "worker/data/text/pre_tokenizer.h"

namespace vernier::data {

// Whether form C is applied.
absl::StatusOr<bool> ReadNormalizer(const JsonAt& normalizer);
absl::StatusOr<PreTokenizer> ReadPreTokenizer(const JsonAt& pre_tokenizer);
absl::Status CheckDecoder(const JsonAt& decoder);
// The token that is put before a text, if one is.
absl::StatusOr<std::optional<std::string>> ReadPostProcessor(const JsonAt& post_processor);

}  // namespace vernier::data
