// Text <-> token ids, as the model's tokenizer.json says: byte-level and SentencePiece BPE, Unigram,
// WordPiece and WordLevel, with added tokens. Equal to the `tokenizers` library on every text
// (tests/golden/worker_text), its silence on bytes that the vocabulary lacks included.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace vernier::data {

struct TokenizedText {
  std::vector<int32_t> ids;
  // Byte offset in the original text at which each token starts, never falling. A token that begins inside a
  // character starts at its own byte, unless normalising changed the character: then where the character
  // does.
  std::vector<size_t> begins;
};

// Turns the ids of one text into its bytes, one id at a time. Thread-compatible.
class IdDecoder {
 public:
  virtual ~IdDecoder() = default;
  // Appends the bytes that are sure once `id` is known; they may end inside a UTF-8 character. Ids outside
  // the vocabulary give nothing.
  virtual void Push(int32_t id, std::string* bytes) = 0;
  // Appends what waited for more ids. Afterwards a new text may begin.
  virtual void Finish(std::string* bytes) = 0;
};

// Immutable, thread-safe.
class Tokenizer {
 public:
  // `tokenizer_config_json` may be "". InvalidArgument: malformed, over a limit, or a model, normalizer,
  // pre-tokenizer, decoder or pattern that is not supported (named, with the list of those that are).
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Create(absl::string_view tokenizer_json,
                                                           absl::string_view tokenizer_config_json);
  virtual ~Tokenizer() = default;

  // Added (special) tokens inside `text` are parsed as one token each, as `transformers` does; none is added.
  // InvalidArgument: not UTF-8; or no token for a character where none stands for unknown ones.
  virtual absl::StatusOr<TokenizedText> Encode(absl::string_view text) const = 0;
  // Borrows the tokenizer. `skip_special`: special tokens give nothing.
  virtual std::unique_ptr<IdDecoder> NewDecoder(bool skip_special) const = 0;
  // The bytes that `ids` stand for; they may end inside a UTF-8 character.
  std::string Decode(absl::Span<const int32_t> ids, bool skip_special) const;
  // An id by the token as tokenizer.json writes it.
  virtual std::optional<int32_t> TokenId(absl::string_view token) const = 0;
  // True for tokens that skip_special skips.
  virtual bool IsSpecial(int32_t id) const = 0;
  // 1 + the largest id.
  virtual int64_t vocab_size() const = 0;
  // From tokenizer_config.json; none when it has none. bos_id only when the tokenizer itself puts it before
  // texts (add_bos_token or a post-processor).
  virtual std::optional<int32_t> bos_id() const = 0;
  virtual std::optional<int32_t> eos_id() const = 0;
};

}  // namespace vernier::data
