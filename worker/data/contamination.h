// Validation rows that occur, exactly or nearly, among the training rows. Feed validation rows first, then
// training rows. Memory: NearIndex's and 24 bytes a validation row. Thread-compatible.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "worker/data/chunk.h"
#include "worker/data/near_index.h"

namespace vernier::data {

class Contamination {
 public:
  struct Hit {
    uint32_t validation_row = 0;
    uint32_t training_row = 0;  // the first one that is equal, else the most similar
    double similarity = 0;      // 1 = equal
  };

  explicit Contamination(double threshold) : near_(threshold) {}
  // `signature` may be null: the row is compared exactly only.
  void AddValidationRow(uint32_t row, const ShortDigest& content, const MinHashSignature* signature);
  void SeeTrainingRow(uint32_t row, const ShortDigest& content, const MinHashSignature* signature);
  // In order of the validation rows.
  std::vector<Hit> Hits() const;

 private:
  void Found(uint32_t validation_row, uint32_t training_row, double similarity);

  struct ContentHash {
    size_t operator()(const ShortDigest& content) const { return content.low; }
  };
  absl::flat_hash_map<ShortDigest, std::vector<uint32_t>, ContentHash> contents_;
  NearIndex near_;
  absl::flat_hash_map<uint32_t, Hit> hits_;  // by validation row
};

}  // namespace vernier::data
