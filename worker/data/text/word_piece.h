// WordPiece: the longest piece at the front of the word, then the longest at the front of the rest, and so
// on; a word that cannot be cut so is one unknown token. And its simplest case, a vocabulary of whole words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/byte_trie.h"
#include "worker/data/text/token_model.h"

namespace vernier::data {

// Immutable, thread-safe.
class WordPiece final : public TokenModel {
 public:
  struct Options {
    std::string prefix;                // of pieces inside a word, as the vocabulary writes them
    size_t max_word_characters = 100;  // longer words are unknown
    std::optional<int32_t> unknown;
  };
  WordPiece(const std::vector<std::pair<std::string, int32_t>>& vocabulary, Options options);

  absl::Status Encode(absl::string_view word, CpuBudget& budget,
                      std::vector<WordToken>* tokens) const override;

 private:
  const Options options_;
  ByteTrie initial_, inner_;  // pieces; the inner ones without the prefix
};

// Immutable, thread-safe.
class WordLevel final : public TokenModel {
 public:
  WordLevel(const std::vector<std::pair<std::string, int32_t>>& vocabulary, std::optional<int32_t> unknown)
      : words_(vocabulary.begin(), vocabulary.end()), unknown_(unknown) {}

  absl::Status Encode(absl::string_view word, CpuBudget& budget,
                      std::vector<WordToken>* tokens) const override;

 private:
  const absl::flat_hash_map<std::string, int32_t> words_;
  const std::optional<int32_t> unknown_;
};

}  // namespace vernier::data
