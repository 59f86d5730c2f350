#include "worker/data/near_index.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/check.h"

namespace vernier::data {
namespace {

constexpr int kMaxPerBand = 32;
constexpr size_t kFirstSlots = 1024;
constexpr double kRecall = 0.99;

int BandBytes(double threshold) {
  for (int bytes = 16; bytes > 2; --bytes) {
    const int bands = kMinHashes / bytes;
    if (1 - std::pow(1 - std::pow(threshold, bytes), bands) >= kRecall) return bytes;
  }
  return 2;
}

}  // namespace

NearIndex::NearIndex(double threshold)
    : threshold_(threshold), band_bytes_(BandBytes(threshold)), num_bands_(kMinHashes / band_bytes_) {
  VN_CHECK(threshold >= 0.5 && threshold <= 0.99);
  tables_.assign(num_bands_, std::vector<uint32_t>(kFirstSlots));
}

uint64_t NearIndex::Slot(const MinHashSignature& signature, int band) const {
  uint64_t hash = 0x9e3779b97f4a7c15;
  for (int i = 0; i < band_bytes_; ++i)
    hash = (hash ^ signature[band * band_bytes_ + i]) * 0xff51afd7ed558ccd;
  return hash ^ (hash >> 32);
}

bool NearIndex::SameBand(const MinHashSignature& a, const MinHashSignature& b, int band) const {
  return std::memcmp(&a[band * band_bytes_], &b[band * band_bytes_], band_bytes_) == 0;
}

template <typename See>
void NearIndex::ForEachCandidate(const MinHashSignature& signature, int band, const See& see) const {
  const std::vector<uint32_t>& table = tables_[band];
  const uint64_t mask = table.size() - 1;
  for (uint64_t slot = Slot(signature, band) & mask; table[slot] != 0; slot = (slot + 1) & mask) {
    const uint32_t index = table[slot] - 1;
    if (SameBand(signatures_[index], signature, band)) see(index);
  }
}

std::vector<uint32_t> NearIndex::Candidates(const MinHashSignature& signature) const {
  std::vector<uint32_t> candidates;
  for (int band = 0; band < num_bands_; ++band) {
    ForEachCandidate(signature, band, [&](uint32_t index) { candidates.push_back(index); });
  }
  std::sort(candidates.begin(), candidates.end());
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
  return candidates;
}

std::optional<NearIndex::Match> NearIndex::Find(const MinHashSignature& signature) const {
  for (const uint32_t index : Candidates(signature)) {
    const double similarity = EstimateSimilarity(signatures_[index], signature);
    if (similarity >= threshold_) return Match{rows_[index], similarity};
  }
  return std::nullopt;
}

std::vector<NearIndex::Match> NearIndex::FindAll(const MinHashSignature& signature) const {
  std::vector<Match> matches;
  for (const uint32_t index : Candidates(signature)) {
    const double similarity = EstimateSimilarity(signatures_[index], signature);
    if (similarity >= threshold_) matches.push_back({rows_[index], similarity});
  }
  return matches;
}

void NearIndex::Insert(int band, uint32_t index) {
  std::vector<uint32_t>& table = tables_[band];
  const uint64_t mask = table.size() - 1;
  const MinHashSignature& signature = signatures_[index];
  int sharing = 0;
  uint64_t slot = Slot(signature, band) & mask;
  for (; table[slot] != 0; slot = (slot + 1) & mask) {
    if (SameBand(signatures_[table[slot] - 1], signature, band) && ++sharing == kMaxPerBand) return;
  }
  table[slot] = index + 1;
}

void NearIndex::Grow() {
  const size_t slots = tables_[0].size() * 2;
  for (int band = 0; band < num_bands_; ++band) {
    // One table at a time, so that old and new lie in memory together only once.
    std::vector<uint32_t>().swap(tables_[band]);
    tables_[band].resize(slots);
    for (uint32_t index = 0; index < signatures_.size(); ++index) Insert(band, index);
  }
}

void NearIndex::Add(uint32_t row, const MinHashSignature& signature) {
  if (signatures_.size() * 8 >= tables_[0].size() * 5) Grow();
  rows_.push_back(row);
  signatures_.push_back(signature);
  for (int band = 0; band < num_bands_; ++band) Insert(band, static_cast<uint32_t>(signatures_.size() - 1));
}

}  // namespace vernier::data
