// The parts of tokenizer.json around the model: normalizer, pre_tokenizer, decoder, post_processor.
// Each reader gives InvalidArgument for what is not supported, by name and with the list of what is.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "worker/data/text/json_at.h"
#include "worker/data/text/normalizer.h"
#include "worker/data/text/pre_tokenizer.h"
#include "worker/data/text/token_decoder.h"

namespace vernier::data {

absl::StatusOr<Normalizer> ReadNormalizer(const JsonAt& normalizer);
// `reads_bytes`: the model takes words as bytes, so that a ByteLevel step at the end need not write its
// alphabet.
absl::StatusOr<PreTokenizer> ReadPreTokenizer(const JsonAt& pre_tokenizer, bool reads_bytes);
absl::StatusOr<TokenDecoder> ReadDecoder(const JsonAt& decoder);
// The token that is put before a text, if one is.
absl::StatusOr<std::optional<std::string>> ReadPostProcessor(const JsonAt& post_processor);

}  // namespace vernier::data
