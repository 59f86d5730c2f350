#include "worker/data/sources/line_reader.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/rows.h"

namespace vernier::data {
namespace {

constexpr int64_t kReadBytes = int64_t{1} << 20;

}  // namespace

absl::StatusOr<bool> LineReader::Fill() {
  if (at_end_) return false;
  VN_ASSIGN_OR_RETURN(buffer_, read_(read_offset_, kReadBytes));
  position_ = 0;
  if (buffer_.empty()) {
    at_end_ = true;
    return false;
  }
  if (read_offset_ == 0 && absl::StartsWith(buffer_, "\xEF\xBB\xBF")) {
    has_bom_ = true;
    position_ = 3;
  }
  read_offset_ += static_cast<int64_t>(buffer_.size());
  return true;
}

absl::StatusOr<bool> LineReader::ReadLine(int64_t* line_bytes) {
  text_.clear();
  bool any = false;
  while (true) {
    if (position_ == buffer_.size()) {
      VN_ASSIGN_OR_RETURN(const bool more, Fill());
      if (!more) return any;
      if (position_ == buffer_.size()) continue;  // a byte order mark alone
    }
    any = true;
    const size_t end = buffer_.find('\n', position_);
    const size_t stop = end == std::string::npos ? buffer_.size() : end;
    *line_bytes += static_cast<int64_t>(stop - position_);
    if (*line_bytes <= kMaxRowBytes) {
      text_.append(buffer_, position_, stop - position_);
    } else {
      text_.clear();
    }
    position_ = end == std::string::npos ? stop : stop + 1;
    if (end != std::string::npos) return true;
  }
}

absl::StatusOr<bool> LineReader::Next(Record* record) {
  while (true) {
    int64_t line_bytes = 0;
    VN_ASSIGN_OR_RETURN(const bool any, ReadLine(&line_bytes));
    if (!any) return false;
    ++line_;
    *record = Record();
    record->line = line_;
    if (line_bytes > kMaxRowBytes) {
      record->problem = absl::StrCat("the row is ", HumanBytes(line_bytes), "; the limit is ",
                                     HumanBytes(kMaxRowBytes), ": shorten or split it");
      return true;
    }
    absl::string_view text = text_;
    if (!text.empty() && text.back() == '\r') {
      text.remove_suffix(1);
      ++num_crlf_;
    }
    if (absl::StripAsciiWhitespace(text).empty()) {
      if (num_blank_++ == 0) first_blank_ = line_;
      continue;
    }
    record->bytes = text;
    return true;
  }
}

std::vector<std::string> LineReader::Notes() const {
  std::vector<std::string> notes;
  if (has_bom_) notes.push_back("the file starts with a byte order mark; ignored");
  if (num_crlf_ > 0) notes.push_back(absl::StrCat(num_crlf_, " lines end with CRLF; read as LF"));
  if (num_blank_ > 0) {
    notes.push_back(absl::StrCat(num_blank_, " blank lines skipped (first: line ", first_blank_, ")"));
  }
  return notes;
}

}  // namespace vernier::data
