// What tokenizer.json and tokenizer_config.json say, read and checked.
// Source: the `tokenizers` library's serialisation (version 1.0).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/added_tokens.h"
#include "worker/data/text/bpe.h"
#include "worker/data/text/normalizer.h"
#include "worker/data/text/pre_tokenizer.h"
#include "worker/data/text/token_decoder.h"

namespace vernier::data {

inline constexpr int64_t kMaxTokenizerJsonBytes = int64_t{256} << 20;
inline constexpr int64_t kMaxTokenizerConfigBytes = int64_t{16} << 20;
inline constexpr int32_t kMaxVocabulary = 2'000'000;  // ids lie below
inline constexpr size_t kMaxTokenBytes = 64 << 10;
inline constexpr size_t kMaxAddedTokens = 100'000;
inline constexpr size_t kMaxAddedTokenBytes = 1 << 10;
// Of all of them together, normalised: each byte may become a state of the matcher, of some 60 bytes.
inline constexpr size_t kMaxAddedTokensBytes = size_t{8} << 20;

enum class TokenModelKind { kBpe, kUnigram, kWordPiece, kWordLevel };

struct TokenizerSpec {
  TokenModelKind kind = TokenModelKind::kBpe;
  // As the file writes them; distinct tokens, distinct ids. Of a unigram model the ids are the places.
  std::vector<std::pair<std::string, int32_t>> vocabulary;
  std::optional<int32_t> unknown_id;
  // BPE.
  std::vector<BpeMerge> merges;
  bool fuse_unknown = false;
  bool ignore_merges = false;  // words that are tokens need no merges
  // BPE and unigram: what has no token becomes the tokens <0x..> of its bytes.
  bool byte_fallback = false;
  std::vector<double> scores;  // unigram: of each token
  // WordPiece.
  std::string inner_prefix;
  size_t max_word_characters = 100;

  std::vector<AddedToken> added_tokens;  // distinct, in the order of the file
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  TokenDecoder decoder;
  std::optional<int32_t> bos_id, eos_id;  // as Tokenizer has them
};

// InvalidArgument: malformed, over a limit, or something that is not supported, with the list of what is. The
// message starts with the file's name and says where in it.
absl::StatusOr<TokenizerSpec> ParseTokenizerSpec(absl::string_view tokenizer_json,
                                                 absl::string_view tokenizer_config_json);

}  // namespace vernier::data
