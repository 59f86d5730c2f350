#include "worker/data/mixture.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "common/check.h"
#include "common/philox.h"

namespace vernier::data {
namespace {

constexpr uint64_t kMixtureTag = 0x6d69787475726501;  // "mixture" 1
constexpr uint64_t kPassTag = 0x70617373;             // "pass"

}  // namespace

std::vector<int64_t> RowsPerEpoch(const std::vector<int64_t>& rows, const std::vector<double>& weights) {
  VN_CHECK(rows.size() == weights.size());
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (sum <= 0) return rows;
  const int64_t all = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  std::vector<int64_t> drawn(rows.size());
  std::vector<double> remainders(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const double share = static_cast<double>(all) * (weights[i] / sum);
    drawn[i] = static_cast<int64_t>(std::floor(share));
    remainders[i] = share - std::floor(share);
  }
  std::vector<size_t> order(rows.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return remainders[a] > remainders[b]; });
  int64_t left = all - std::accumulate(drawn.begin(), drawn.end(), int64_t{0});
  for (const size_t i : order) {
    if (left-- > 0) ++drawn[i];
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] > 0) drawn[i] = std::max<int64_t>(drawn[i], 1);
  }
  return drawn;
}

MixtureOrder::MixtureOrder(const std::vector<MixturePart>& parts, uint64_t seed) {
  std::vector<int64_t> rows;
  std::vector<double> weights;
  for (const MixturePart& part : parts) {
    rows.push_back(part.num_rows);
    weights.push_back(part.weight);
  }
  const std::vector<int64_t> drawn = RowsPerEpoch(rows, weights);
  int64_t first_row = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    parts_.push_back({.first_row = first_row,
                      .num_rows = rows[i],
                      .first_slot = rows_per_epoch_,
                      .num_slots = drawn[i],
                      .key = DeriveSeed(seed, kMixtureTag, i)});
    first_row += rows[i];
    rows_per_epoch_ += drawn[i];
  }
}

int64_t MixtureOrder::Row(int64_t epoch, int64_t slot) const {
  VN_CHECK(epoch >= 0 && slot >= 0 && slot < rows_per_epoch_);
  const auto after = std::upper_bound(parts_.begin(), parts_.end(), slot,
                                      [](int64_t s, const Part& part) { return s < part.first_slot; });
  const Part& part = *(after - 1);
  const int64_t place = epoch * part.num_slots + (slot - part.first_slot);
  const uint64_t rows = static_cast<uint64_t>(part.num_rows);
  const KeyedPermutation order(rows, DeriveSeed(part.key, kPassTag, static_cast<uint64_t>(place) / rows));
  return part.first_row + static_cast<int64_t>(order(static_cast<uint64_t>(place) % rows));
}

}  // namespace vernier::data
