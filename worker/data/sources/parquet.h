// Parquet, read through Apache Arrow. A record's number is that of the row, from 1. Lists, structs and maps
// become JSON; a struct cannot lack a field, so fields that are null are left out (but for the `content` of a
// message, where null says that there is none), and so are null columns; null elements of lists and null
// values of maps stay. Columns that no form of row uses are not read.
//
// Arrow is foreign code on foreign bytes. Guarded: the magic and the footer's length before Arrow sees the
// file, the size of Thrift's strings and lists, the number and nesting of columns, exceptions and Status, all
// memory that Arrow takes for data (kMaxArrowBytes), rows that grow out of proportion to the file, the number
// of rows promised. Not guarded: a memory error inside Arrow's decoders ends the process that reads (the
// agent restarts; a CLI command fails), and what Arrow takes for the footer's own structures is bounded by
// kMaxFooterBytes only.
//
// The only file that includes Arrow is parquet.cc.
#pragma once

#include <memory>

#include "worker/data/sources/source.h"

namespace vernier::data {

inline constexpr int64_t kMaxArrowBytes = int64_t{1} << 30;
inline constexpr int64_t kMaxFooterBytes = int64_t{16} << 20;

// Memory: a batch of rows and, for each column used, a page: at most kMaxArrowBytes.
absl::StatusOr<std::unique_ptr<Source>> CreateParquetSource(SourceInput input);

}  // namespace vernier::data
