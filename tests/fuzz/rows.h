// What the fuzzers of row files share: a file is read to its end, and what it gives keeps its promises.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "common/check.h"
#include "worker/data/rows.h"
#include "worker/data/sources/source.h"

namespace vernier::data {

// Errors are refusals with a sentence, records are JSON unless the source calls them a problem or they are
// lines of a file of JSON, rows have what their form says.
inline void FuzzRows(absl::string_view bytes, const RowOptions& options, bool records_are_json) {
  const auto source = OpenSource(ReadFromMemory(bytes), static_cast<int64_t>(bytes.size()), options);
  absl::Status status = source.status();
  Record record;
  int64_t last = 0;
  while (status.ok()) {
    const absl::StatusOr<bool> more = (*source)->Next(&record);
    status = more.status();
    if (!more.ok() || !*more) break;
    VN_CHECK(record.line > last);
    last = record.line;
    VN_CHECK(record.problem.empty() || record.bytes.empty());
    if (!record.problem.empty()) continue;
    if (records_are_json) VN_CHECK(record.bytes.front() == '{' && record.bytes.back() == '}');
    const absl::StatusOr<Row> row = ParseRow(record.bytes, options);
    if (!row.ok()) {
      VN_CHECK(absl::IsInvalidArgument(row.status()) && !row.status().message().empty());
      continue;
    }
    VN_CHECK(row->ContentDigest().size() == 64);
    VN_CHECK(row->format != RowFormat::kMessages || !row->messages.empty());
    VN_CHECK(row->format != RowFormat::kText || !row->text.empty());
    for (const Message& message : row->messages) {
      VN_CHECK(message.weight >= 0 && message.object.is_object() && !message.role.empty());
    }
  }
  VN_CHECK(status.ok() || (absl::IsInvalidArgument(status) && !status.message().empty()));
  if (source.ok()) (void)(*source)->Notes();
}

}  // namespace vernier::data
