// `vernier datasets check`: what preparing would find, without writing anything.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "vernier/v1/data.pb.h"
#include "worker/data/codec.h"
#include "worker/data/prepare.h"
#include "worker/data/prepare_options.h"
#include "worker/data/sources/source.h"

namespace vernier::data {

// A dataset to look at.
struct CheckInput {
  ReadAtFn read;
  int64_t size_bytes = 0;
};

struct CheckRequest {
  CheckInput rows;
  // Rows to validate on, compared with the others. Its `read` may be empty: none.
  CheckInput validation;
  // Null: rows are parsed only, and nothing is tokenised.
  const Codec* codec = nullptr;
  PrepareOptions options;
  int num_samples = 3;  // good rows of the report's samples; needs a codec
};

// Checks every row, with `options.threads` threads; memory as for preparing, and NearIndex's for every row.
// Bad, overlong, repeated and contaminated rows are findings, not errors. Tokens are 0 without a codec.
// InvalidArgument: no rows, the file is of another kind, or the options mean nothing for its rows.
absl::StatusOr<v1::DataReport> CheckData(const CheckRequest& request, const ProgressFn& progress);

// A local file. NotFound and others from the system; messages start with `path`.
absl::StatusOr<CheckInput> CheckInputOf(const std::string& path);

}  // namespace vernier::data
