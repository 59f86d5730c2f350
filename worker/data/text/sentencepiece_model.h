// tokenizer.model: a tokenizer as the sentencepiece library saves it, a protocol buffer.
// Source: sentencepiece's src/sentencepiece_model.proto (ModelProto).
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/piece_vocabulary.h"

namespace vernier::data {

// Most bytes of a file that is read.
inline constexpr int64_t kMaxSentencePieceBytes = int64_t{64} << 20;

// What the file says. `prefix` is kFirst or kNone, bos_id the file's own. InvalidArgument, starting with
// `name`: cut off, damaged, over a limit, or a model that is neither BPE nor unigram (named).
absl::StatusOr<PieceVocabulary> ParseSentencePieceModel(absl::string_view bytes, absl::string_view name);

// The file as the tokenizer.json that `transformers` makes of it. `tokenizer_config_json` may be ""; of it
// count `legacy` (true: a space is put before every stretch between added tokens, not only the first),
// `add_prefix_space` and `add_bos_token` (unset: a BPE model's texts begin with bos).
absl::StatusOr<std::string> TokenizerJsonFromSentencePiece(absl::string_view bytes,
                                                           absl::string_view tokenizer_config_json);

}  // namespace vernier::data
