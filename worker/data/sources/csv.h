// CSV and TSV with a header (formats/csv_reader.h). A record's number is the line it starts in. A field is a
// string; one that is empty and has no quotes is not there. Columns that no form of row uses do not come with
// the rows. Memory: one row plus one read (1 MiB).
#pragma once

#include <memory>

#include "worker/data/sources/source.h"

namespace vernier::data {

absl::StatusOr<std::unique_ptr<Source>> CreateCsvSource(SourceInput input);

}  // namespace vernier::data
