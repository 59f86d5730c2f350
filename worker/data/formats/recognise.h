// What a file of rows is, told by its first bytes, never by its name.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/formats/inflate.h"
#include "worker/data/formats/row_forms.h"

namespace vernier::data {

// Enough to see a header and some rows.
inline constexpr size_t kHeadBytes = 64 << 10;

struct Recognition {
  Compression compression = Compression::kNone;
  FileFormat file = FileFormat::kJsonl;
  char delimiter = ',';  // kCsv, kTsv
  std::optional<RowForm>
      form;         // unset: no row in sight tells it (Parquet, long rows), or the columns fit none
  std::string why;  // "it starts with \"{\""

  // "gzip-compressed CSV, delimiter ';'".
  std::string ToString() const;
  // For Dataset.format: "messages" for JSON lines of messages, else "csv/alpaca", "jsonl.gz/messages",
  // "parquet".
  std::string DatasetFormat() const;
};

// `head` is the start of the file, kHeadBytes or all of it; `whole` says which. Reads no further than it:
// bounded time. InvalidArgument: not a file of rows (what it is, where that shows), compressed twice,
// damaged.
absl::StatusOr<Recognition> Recognise(absl::string_view head, bool whole, const RowOptions& options);

// The form part of a Dataset.format: "alpaca" of "csv/alpaca", "" when it has none.
absl::string_view FormOfDatasetFormat(absl::string_view format);

}  // namespace vernier::data
