// Finds earlier rows that are similar to a row, without comparing it with all of them.
//
// Signatures are cut into bands of r bytes; rows that agree in a whole band are compared by their signatures.
// r is the largest that finds a row exactly at the threshold with a probability of at least 0.99.
// Of rows that share a band, the first 32 are remembered there: text that very many rows have in common
// cannot make the search slow, at the price of rare misses in such crowds.
// Memory    kMinHashes + about 8 * (kMinHashes / r) bytes a row: 128 + 128 at threshold 0.8.
// Threading Thread-compatible.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "worker/data/minhash.h"

namespace vernier::data {

class NearIndex {
 public:
  // `threshold` in [0.5, 0.99].
  explicit NearIndex(double threshold);

  struct Match {
    uint32_t row = 0;
    double similarity = 0;
  };
  // The first added row that is at least `threshold` similar.
  std::optional<Match> Find(const MinHashSignature& signature) const;
  // Every added row that is, in order.
  std::vector<Match> FindAll(const MinHashSignature& signature) const;
  void Add(uint32_t row, const MinHashSignature& signature);

  int num_bands() const { return num_bands_; }
  int band_bytes() const { return band_bytes_; }

 private:
  // Calls `see(index)` for every remembered signature that shares the band, with repeats.
  template <typename See>
  void ForEachCandidate(const MinHashSignature& signature, int band, const See& see) const;
  std::vector<uint32_t> Candidates(const MinHashSignature& signature) const;
  void Insert(int band, uint32_t index);
  uint64_t Slot(const MinHashSignature& signature, int band) const;
  bool SameBand(const MinHashSignature& a, const MinHashSignature& b, int band) const;
  void Grow();

  const double threshold_;
  int band_bytes_ = 0;
  int num_bands_ = 0;
  std::deque<MinHashSignature> signatures_;  // a deque: grows without copying
  std::vector<uint32_t> rows_;
  // Of each band, an open-addressing table of indices + 1 into the above; 0 is empty. Sizes are a power of
  // two.
  std::vector<std::vector<uint32_t>> tables_;
};

}  // namespace vernier::data
