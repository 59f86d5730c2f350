// Delimited text as RFC 4180 has it: fields in quotes may hold delimiters, line breaks and doubled quotes;
// records end in LF or CRLF. A quote inside a field without quotes is a character like others. Memory: one
// record.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace vernier::data {

// More fields in a record are a problem (as many keys as a JSON row may have).
inline constexpr size_t kMaxCsvFields = 1024;

// Valid until the next record is read.
struct CsvRecord {
  struct Field {
    size_t begin = 0, size = 0;  // in `text`
    bool quoted = false;
  };
  int64_t line = 0;  // where it starts, from 1
  std::string text;  // the fields' bytes, one after the other, without quotes
  std::vector<Field> fields;
  std::string problem;  // not empty: why the record cannot be used; `fields` are then not complete
  bool blank = false;   // an empty line
  bool crlf = false;    // it ended in CRLF
  absl::string_view field(size_t i) const {
    return absl::string_view(text).substr(fields[i].begin, fields[i].size);
  }
};

// Thread-compatible.
class CsvReader {
 public:
  // Gives the next bytes, "" at the end.
  using FillFn = std::function<absl::StatusOr<std::string>()>;
  CsvReader(FillFn fill, char delimiter, int64_t max_record_bytes)
      : fill_(std::move(fill)), delimiter_(delimiter), max_record_bytes_(max_record_bytes) {}

  // False: no more records. Errors: those of `fill`.
  absl::StatusOr<bool> Next(CsvRecord* record);
  // Bytes read from `fill` that records have used up.
  int64_t offset() const { return filled_ - static_cast<int64_t>(buffer_.size() - at_); }

 private:
  enum class State { kFieldStart, kPlain, kQuoted, kQuoteInQuoted };

  absl::StatusOr<bool> Fill();
  void Append(CsvRecord& record, absl::string_view bytes);
  void EndField(CsvRecord& record);

  const FillFn fill_;
  const char delimiter_;
  const int64_t max_record_bytes_;
  std::string buffer_;
  size_t at_ = 0;
  int64_t filled_ = 0;
  bool at_end_ = false;
  int64_t line_ = 1;
  State state_ = State::kFieldStart;
  int64_t record_bytes_ = 0;
  int64_t quote_line_ = 0;  // where the open quote is
  size_t field_begin_ = 0;
  bool field_quoted_ = false;
};

}  // namespace vernier::data
