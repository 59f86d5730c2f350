// How the byte-level vocabularies in GGUF files cut text: what each `tokenizer.ggml.pre` stands for.
// Source: llama.cpp's src/llama-vocab.cpp; where that only comes close to the tokenizer.json that a model
// came with (falcon, deepseek-llm), the tokenizer.json's own steps.
#pragma once

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/data/text/tokenizer_json_writer.h"

namespace vernier::data {

struct GgufSplit {
  // Steps before the patterns.
  enum class First { kNothing, kSingleDigits, kFalcon };
  absl::string_view name;
  absl::Span<const absl::string_view>
      patterns;  // regular expressions, each cutting what the one before left whole
  First first = First::kNothing;
  bool gpt2 = false;  // GPT-2's own pattern after them
  bool nfc = false;
  bool ignore_merges = false;
  bool adds_bos = false;  // unless tokenizer.ggml.add_bos_token says otherwise
};

// All that are known.
absl::Span<const GgufSplit> GgufSplits();

// The step that maps the bytes of words to characters, in tokenizer.json.
OrderedJson ByteLevelJson(bool use_regex);
// tokenizer.json's pre_tokenizer.
OrderedJson SplitJson(const GgufSplit& split);

}  // namespace vernier::data
