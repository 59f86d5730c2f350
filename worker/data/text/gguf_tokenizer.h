// The tokenizer inside a GGUF file, written as the tokenizer.json that the model came with.
// Source: ggml docs/gguf.md; what llama.cpp's src/llama-vocab.cpp does with each `tokenizer.ggml.model`.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "storage/gguf.h"

namespace vernier::data {

// Reads tokenizer.ggml.model =
//   gpt2   byte-level BPE with a tokenizer.ggml.pre that we know (gguf_splits.h)
//   llama  SentencePiece BPE; merges from the scores; a space before each stretch between added tokens unless
//          tokenizer.ggml.add_space_prefix is false, and bos unless tokenizer.ggml.add_bos_token is
//   t5     SentencePiece unigram with its normalisation rules
//   bert   WordPiece
// Tokens of type control (and unknown) become special added tokens, user-defined ones plain added tokens. The
// same file gives the same bytes. InvalidArgument: a key is missing or of another kind, another tokenizer
// model or split (named, with the list of those that work), lists of different lengths, or a token that
// stands there twice.
absl::StatusOr<std::string> TokenizerJsonFromGguf(const storage::Gguf& gguf);

}  // namespace vernier::data
