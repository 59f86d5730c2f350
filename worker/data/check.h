// `vernier datasets check`: what preparing would find, without writing anything.
#pragma once

#include "absl/status/statusor.h"
#include "vernier/v1/data.pb.h"
#include "worker/data/codec.h"
#include "worker/data/prepare_rows.h"
#include "worker/data/sources/source.h"

namespace vernier::data {

struct CheckResult {
  v1::DataReport report;  // num_rows: good rows; without a codec no tokens are counted
  std::string format;     // of the first good row; "" = none
};

// Checks every row. `codec` may be null: then rows are parsed only, and nothing is tokenised.
// Bad and overlong rows are findings, not errors. InvalidArgument: no rows, or the file is of another kind.
absl::StatusOr<CheckResult> CheckData(ReadAtFn read, const Codec* codec, const PrepareOptions& options);

// The same for a local file. NotFound and others from the system; messages start with `path`.
absl::StatusOr<CheckResult> CheckFile(const std::string& path, const Codec* codec,
                                      const PrepareOptions& options);

}  // namespace vernier::data
