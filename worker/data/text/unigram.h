// A unigram language model over pieces: of all ways to cut a word, the one whose pieces' scores add up
// highest. Source: Kudo 2018, arXiv:1804.10959; the `tokenizers` library's Unigram (its order of sums and
// ties).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/byte_trie.h"
#include "worker/data/text/token_model.h"
#include "worker/data/text/word_cache.h"

namespace vernier::data {

// Immutable but for a cache of words; thread-safe. Neither copied nor moved.
class Unigram final : public TokenModel {
 public:
  struct Options {
    std::vector<std::pair<std::string, double>>
        pieces;                      // piece and score (finite); its index is its id; distinct
    std::optional<int32_t> unknown;  // stands for a run of what is no piece
    // Stand for the bytes of such a run, if all of them have one.
    bool byte_fallback = false;
  };
  explicit Unigram(Options options);

  absl::Status Encode(absl::string_view word, CpuBudget& budget,
                      std::vector<WordToken>* tokens) const override;

 private:
  absl::Status Search(absl::string_view word, CpuBudget& budget, std::vector<WordToken>* tokens) const;
  // The tokens of a run that the search found no pieces for.
  absl::Status AddUnknown(absl::string_view run, uint32_t begin, std::vector<WordToken>* tokens) const;

  std::vector<double> scores_;
  absl::flat_hash_map<std::string, int32_t> ids_;
  ByteTrie pieces_;
  std::optional<int32_t> unknown_;
  double unknown_score_ = 0;
  std::optional<std::array<std::optional<int32_t>, 256>> bytes_;
  const std::unique_ptr<WordCache> cache_;
};

}  // namespace vernier::data
