// The tokenizer inside a GGUF file, written as the tokenizer.json that the model came with.
// Source: ggml docs/gguf.md; the splits that llama.cpp's src/llama-vocab.cpp does for each
// `tokenizer.ggml.pre`.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "storage/gguf.h"

namespace vernier::data {

// Needs tokenizer.ggml.model = "gpt2" and a tokenizer.ggml.pre that we know. Tokens of type control (and
// unknown) become special added tokens, user-defined ones plain added tokens. The same file gives the same
// bytes. InvalidArgument: a key is missing or of another kind, another tokenizer model or split (named, with
// the list of those that work), lists of different lengths, or a token that stands there twice.
absl::StatusOr<std::string> TokenizerJsonFromGguf(const storage::Gguf& gguf);

}  // namespace vernier::data
