#include "worker/data/contamination.h"

#include <algorithm>

namespace vernier::data {

void Contamination::AddValidationRow(uint32_t row, const ShortDigest& content,
                                     const MinHashSignature* signature) {
  contents_[content].push_back(row);
  if (signature != nullptr) near_.Add(row, *signature);
}

void Contamination::SeeTrainingRow(uint32_t row, const ShortDigest& content,
                                   const MinHashSignature* signature) {
  if (const auto it = contents_.find(content); it != contents_.end()) {
    for (const uint32_t validation_row : it->second) Found(validation_row, row, 1.0);
  }
  if (signature == nullptr) return;
  for (const NearIndex::Match& match : near_.FindAll(*signature)) {
    // Equal signatures of different rows are similar, not equal.
    Found(match.row, row, std::min(match.similarity, 0.999));
  }
}

void Contamination::Found(uint32_t validation_row, uint32_t training_row, double similarity) {
  Hit& hit = hits_.try_emplace(validation_row, Hit{validation_row, training_row, 0.0}).first->second;
  if (similarity > hit.similarity) hit = {validation_row, training_row, similarity};
}

std::vector<Contamination::Hit> Contamination::Hits() const {
  std::vector<Hit> hits;
  hits.reserve(hits_.size());
  for (const auto& [row, hit] : hits_) hits.push_back(hit);
  std::sort(hits.begin(), hits.end(),
            [](const Hit& a, const Hit& b) { return a.validation_row < b.validation_row; });
  return hits;
}

}  // namespace vernier::data
