// The heart of preparing, without a store: sources in, prepared rows and a report out.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "vernier/v1/data.pb.h"
#include "worker/data/codec.h"
#include "worker/data/encode_row.h"
#include "worker/data/sources/source.h"

namespace vernier::data {

// More would not fit the memory of one machine; prepared sets are held whole (8 bytes a token).
inline constexpr int64_t kMaxPreparedTokens = int64_t{1} << 30;

struct PrepareOptions {
  EncodeOptions encode = {};
  int64_t max_tokens = 0;  // > 0
  v1::OnOverlong on_overlong = v1::ON_OVERLONG_REFUSE;
  v1::OnBadRow on_bad_row = v1::ON_BAD_ROW_FAIL;
  int64_t max_rows = INT64_MAX;
  int64_t max_validation_rows = INT64_MAX;
  double validation_fraction = 0.0;  // [0, 1); the share of rows held out, by a keyed hash of their content
  int threads = 1;                   // [1, 256]
};

// The rows of one split, end to end.
struct PreparedSplit {
  std::vector<int32_t> ids;                // [N]
  std::vector<float> weights;              // [N]
  std::vector<int64_t> row_offsets = {0};  // [R + 1]
  std::vector<int64_t> lines;              // [R]
  std::vector<int64_t> prompt_lengths;     // [R]
  int64_t num_rows() const { return static_cast<int64_t>(lines.size()); }
};

struct PreparedSet {
  PreparedSplit train, validation;
  v1::DataReport report;
  std::string format;
};

struct PrepareInputs {
  Source* train = nullptr;
  Source* validation = nullptr;  // null: split by fraction, or none
};

// (bytes read, rows so far); false stops with Cancelled. Called from the calling thread.
using RowProgressFn = std::function<bool(int64_t bytes, int64_t rows)>;

// The share of [0, 1) that decides on which side of the split a row with this content digest falls.
double SplitPoint(absl::string_view content_digest);

// Same errors as RunPrepare in prepare.h. The result does not depend on `threads`.
absl::StatusOr<PreparedSet> PrepareRows(const PrepareInputs& inputs, const PrepareOptions& options,
                                        const Codec& codec, const RowProgressFn& progress);

// The same, but policies never fail: bad and overlong rows are counted and left out. For `datasets check`.
// `*format` gets the name of the first good row's format, "" when there is none.
absl::StatusOr<v1::DataReport> InspectRows(const PrepareInputs& inputs, const PrepareOptions& options,
                                           const Codec& codec, const RowProgressFn& progress,
                                           std::string* format);

}  // namespace vernier::data
