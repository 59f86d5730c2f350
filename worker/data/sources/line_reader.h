// The lines of a text file, whatever they hold: LF or CRLF, an optional UTF-8 byte order mark, the last line
// with or without a line break. Memory: one line plus one read (1 MiB).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/sources/source.h"

namespace vernier::data {

// Thread-compatible.
class LineReader {
 public:
  explicit LineReader(ReadAtFn read) : read_(std::move(read)) {}

  // The next line that is not blank: its number, and its bytes or the problem (longer than kMaxRowBytes).
  // False: no more lines. Errors: those of the reader.
  absl::StatusOr<bool> Next(Record* record);
  // Bytes that lines have used up.
  int64_t offset() const { return read_offset_ - static_cast<int64_t>(buffer_.size() - position_); }
  // Byte order mark, CRLF, blank lines.
  std::vector<std::string> Notes() const;

 private:
  absl::StatusOr<bool> Fill();
  // Reads one line into text_; a line above the limit is counted but not kept.
  absl::StatusOr<bool> ReadLine(int64_t* line_bytes);

  const ReadAtFn read_;
  std::string buffer_;
  size_t position_ = 0;
  int64_t read_offset_ = 0;  // of the end of buffer_
  bool at_end_ = false;
  std::string text_;
  int64_t line_ = 0;
  bool has_bom_ = false;
  int64_t num_crlf_ = 0;
  int64_t num_blank_ = 0;
  int64_t first_blank_ = 0;
};

}  // namespace vernier::data
