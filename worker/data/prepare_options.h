// What a dataset is prepared with: the options of a task, checked and with their defaults.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vernier/v1/data.pb.h"
#include "worker/data/encode_row.h"
#include "worker/data/formats/row_forms.h"

namespace vernier::data {

// More is refused: offsets in prepared files are tokens, and trainers map these files into memory.
inline constexpr int64_t kMaxPreparedTokens = int64_t{1} << 34;
// Rows are numbered with 32 bits while they are compared.
inline constexpr int64_t kMaxPreparedRows = 4'000'000'000;
inline constexpr int kMaxMixtureSources = 64;

// Which rows count as similar. Jaccard similarity of their word sequences.
struct NearOptions {
  double threshold = 0.8;  // [0.5, 0.99]
  int ngram_words = 5;     // [1, 32]
};

// One dataset of a mixture.
struct MixtureSource {
  std::string name;              // for people
  double weight = 0;             // > 0, or 0 = none given
  int64_t max_rows = INT64_MAX;  // a sample of its rows by a keyed hash of their content
  RowOptions rows;
};

struct PrepareOptions {
  RowOptions rows = {};  // of the training dataset without a mixture, and of the validation dataset
  EncodeOptions encode = {};
  int64_t max_tokens = 0;  // > 0
  v1::OnOverlong on_overlong = v1::ON_OVERLONG_REFUSE;
  v1::OnBadRow on_bad_row = v1::ON_BAD_ROW_FAIL;
  int64_t max_rows = INT64_MAX;
  int64_t max_validation_rows = INT64_MAX;
  double validation_fraction = 0.0;  // [0, 1); the share of rows held out, by a keyed hash of their content
  v1::DuplicateKind deduplicate = v1::DUPLICATE_KIND_NONE;
  NearOptions near = {};
  v1::OnContamination on_contamination = v1::ON_CONTAMINATION_REPORT;
  std::vector<MixtureSource> mixture = {};  // one a training dataset; empty: there is one, without a name
  int threads = 1;                          // [1, 256]
};

}  // namespace vernier::data
