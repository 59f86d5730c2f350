// How datasets of a mixture share an epoch. Pure functions of the numbers of rows, the weights and the seed.
//
// An epoch has as many rows as all datasets together. Without weights it is every row once. With weights,
// dataset i gives the share weight_i / sum of weights of it, to the nearest row (largest remainder, at least
// 1). Each dataset is read in an order of its own, pass after pass, and an epoch goes on where the last one
// stopped: a dataset that gives less than it has in one epoch gives other rows in the next, and no row is
// seen a second time before all of its dataset were seen once.
#pragma once

#include <cstdint>
#include <vector>

namespace vernier::data {

// A dataset of a mixture in prepared data: rows end to end, in the order of the datasets.
struct MixturePart {
  int64_t num_rows = 0;  // >= 1
  double weight = 0;     // > 0
};

// Rows that each dataset gives to an epoch. Weights of 0: none was given, and `rows` itself is the answer.
std::vector<int64_t> RowsPerEpoch(const std::vector<int64_t>& rows, const std::vector<double>& weights);

// Immutable, thread-safe.
class MixtureOrder {
 public:
  MixtureOrder(const std::vector<MixturePart>& parts, uint64_t seed);
  // Sum of RowsPerEpoch.
  int64_t rows_per_epoch() const { return rows_per_epoch_; }
  // The row in place `slot` of [0, rows_per_epoch) of epoch `epoch` >= 0. Datasets lie end to end in an
  // epoch; the caller mixes.
  int64_t Row(int64_t epoch, int64_t slot) const;

 private:
  struct Part {
    int64_t first_row = 0, num_rows = 0;
    int64_t first_slot = 0, num_slots = 0;
    uint64_t key = 0;
  };
  std::vector<Part> parts_;
  int64_t rows_per_epoch_ = 0;
};

}  // namespace vernier::data
