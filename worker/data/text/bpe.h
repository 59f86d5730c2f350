// Byte pair encoding of one word: the pair of neighbours that was learned first is merged, again and again.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/token_model.h"
#include "worker/data/text/word_cache.h"

namespace vernier::data {

struct BpeMerge {
  int32_t left = 0, right = 0, result = 0;  // ids
};

// Immutable but for a cache of words; thread-safe. Neither copied nor moved.
class Bpe final : public TokenModel {
 public:
  struct Options {
    // Words are bytes, each with a token of its own (byte-level); otherwise characters.
    bool by_bytes = false;
    // The token of each byte; none: the byte is unknown. By characters: what stands for the bytes of a
    // character that has no token (byte fallback), if all of them have one.
    std::array<std::optional<int32_t>, 256> bytes;
    absl::flat_hash_map<char32_t, int32_t> characters;
    // Stands for what is unknown, which vanishes when there is none.
    std::optional<int32_t> unknown;
    bool fuse_unknown = false;  // one for a run of it
    // Words that are a token as they stand, whatever the merges would make of them; by their bytes.
    absl::flat_hash_map<std::string, int32_t> whole_words;
    // Words may be cut where this character follows another: no merge joins the two. What is cut off is known
    // again when it comes back, and long texts without white space cost no more than short ones.
    std::optional<char32_t> boundary;
  };
  // `merges` in the order in which they were learned; of equal pairs the last counts.
  Bpe(Options options, const std::vector<BpeMerge>& merges);

  // Takes time in proportion to n log n of the word's length.
  absl::Status Encode(absl::string_view word, CpuBudget& budget,
                      std::vector<WordToken>* tokens) const override;

 private:
  struct Merge {
    uint32_t rank;
    int32_t result;
  };
  struct Symbol;

  void EncodePart(absl::string_view word, uint32_t base, std::vector<WordToken>* tokens) const;
  void MergeWord(absl::string_view word, std::vector<WordToken>* tokens) const;
  template <typename Symbols>
  void AddByteSymbols(absl::string_view word, Symbols* symbols) const;
  template <typename Symbols>
  void AddCharacterSymbols(absl::string_view word, Symbols* symbols) const;
  const Merge* FindMerge(int32_t left, int32_t right) const;

  const Options options_;
  const bool has_fallback_;
  absl::flat_hash_map<uint64_t, Merge> merges_;  // by the pair's ids
  const std::unique_ptr<WordCache> cache_;
};

}  // namespace vernier::data
