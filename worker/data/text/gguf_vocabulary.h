// A tokenizer.json as the tokenizer.* metadata of a GGUF file: the way back from gguf_tokenizer.h.
// Source: ggml docs/gguf.md; llama.cpp's convert_hf_to_gguf.py for what each key holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/gguf_writer.h"

namespace vernier::data {

struct GgufVocabularySource {
  std::string tokenizer_json;
  std::string tokenizer_config_json;  // may be ""
  std::string chat_template;          // "" = none
  // Tokens that end an answer, the one that ends a text first: eos, then those of a turn and of a message.
  std::vector<int64_t> stop_ids;
  int64_t embedding_rows =
      0;  // readers want a token for each: those without get the name [PADn] and type unused
};

// Byte-level BPE becomes tokenizer.ggml.model = gpt2, with the first tokenizer.ggml.pre that cuts text the
// same way (gguf_splits.h); SentencePiece BPE becomes llama, with scores that order its merges.
// InvalidArgument: another kind of tokenizer, a way of cutting or normalising text that GGUF has no name for,
// more tokens than embedding rows.
absl::StatusOr<storage::GgufMetadata> GgufVocabulary(const GgufVocabularySource& source);

}  // namespace vernier::data
