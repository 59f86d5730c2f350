// From tokens back to text: the decoder of a tokenizer, as steps that work on tokens one at a time.
// Source: the `tokenizers` library, whose steps these are.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"

namespace vernier::data {

// Tokens in the byte-level alphabet become their bytes; the text is all bytes joined.
struct ByteLevelDecoder {};
// `pattern` in a token becomes `content`.
struct ReplaceDecoder {
  std::string pattern, content;
};
// Runs of tokens "<0xE6>" become the text that their bytes are, or one U+FFFD for each byte when they are
// none.
struct ByteFallbackDecoder {};
// All tokens become one.
struct FuseDecoder {};
// Takes up to `start` of a character off the front of each token, and up to `stop` off its end.
struct StripDecoder {
  std::string content;  // one character
  size_t start = 0, stop = 0;
};
// `replacement` becomes a space, or nothing in the first token.
struct MetaspaceDecoder {
  std::string replacement;
  bool drops_first = true;
};
// Tokens that do not begin with `prefix` begin a word.
struct WordPieceDecoder {
  std::string prefix;
  bool cleanup = true;  // no space before punctuation and English contractions
};
// Tokens are words.
struct JoinDecoder {};

using DecoderStep = std::variant<ByteLevelDecoder, ReplaceDecoder, ByteFallbackDecoder, FuseDecoder,
                                 StripDecoder, MetaspaceDecoder, WordPieceDecoder, JoinDecoder>;

// One text being decoded. Thread-compatible.
class DecodeChain {
 public:
  class Stage;
  explicit DecodeChain(std::vector<std::unique_ptr<Stage>> stages);
  ~DecodeChain();

  // Appends what `token`, as the vocabulary writes it, adds to the text; what following tokens may still
  // change waits.
  void Push(absl::string_view token, std::string* text);
  // Appends what still waits. Afterwards a new text may begin.
  void Finish(std::string* text);

 private:
  void PushTo(size_t stage, std::string token, std::string* text);

  std::vector<std::unique_ptr<Stage>> stages_;
};

// Immutable, thread-safe. Movable.
class TokenDecoder {
 public:
  TokenDecoder() = default;
  explicit TokenDecoder(std::vector<DecoderStep> steps) : steps_(std::move(steps)) {}

  bool is_byte_level() const {
    return steps_.size() == 1 && std::holds_alternative<ByteLevelDecoder>(steps_[0]);
  }
  // The chain may live longer than this.
  std::unique_ptr<DecodeChain> NewChain() const;

 private:
  std::vector<DecoderStep> steps_;
};

}  // namespace vernier::data
