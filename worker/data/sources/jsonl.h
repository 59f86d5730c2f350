// JSON lines: one record a line. LF or CRLF, an optional UTF-8 byte order mark, blank lines skipped, the last
// line with or without a line break. A line above kMaxRowBytes is skipped without being held and reported as
// a problem. Memory: one line plus one read (1 MiB).
#pragma once

#include <memory>

#include "worker/data/sources/source.h"

namespace vernier::data {

absl::StatusOr<std::unique_ptr<Source>> CreateJsonlSource(SourceInput input);

// Lines of text: each is the row {"text": line}.
absl::StatusOr<std::unique_ptr<Source>> CreateLinesSource(SourceInput input);

}  // namespace vernier::data
