#include "worker/data/sources/jsonl.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/rows.h"

namespace vernier::data {
namespace {

constexpr int64_t kReadBytes = int64_t{1} << 20;

class JsonlSource final : public Source {
 public:
  explicit JsonlSource(ReadAtFn read) : read_(std::move(read)) {}

  absl::StatusOr<bool> Next(Record* record) override {
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

  int64_t offset() const override { return read_offset_ - static_cast<int64_t>(buffer_.size() - position_); }

  std::vector<std::string> Notes() const override {
    std::vector<std::string> notes;
    if (has_bom_) notes.push_back("the file starts with a byte order mark; ignored");
    if (num_crlf_ > 0) notes.push_back(absl::StrCat(num_crlf_, " lines end with CRLF; read as LF"));
    if (num_blank_ > 0) {
      notes.push_back(absl::StrCat(num_blank_, " blank lines skipped (first: line ", first_blank_, ")"));
    }
    return notes;
  }

 private:
  // Fills buffer_; false at the end of the file.
  absl::StatusOr<bool> Fill() {
    if (at_end_) return false;
    VN_ASSIGN_OR_RETURN(buffer_, read_(read_offset_, kReadBytes));
    position_ = 0;
    if (buffer_.empty()) {
      at_end_ = true;
      return false;
    }
    if (read_offset_ == 0) VN_RETURN_IF_ERROR(LookAtStart());
    read_offset_ += static_cast<int64_t>(buffer_.size());
    return true;
  }

  absl::Status LookAtStart() {
    if (absl::StartsWith(buffer_, "\xEF\xBB\xBF")) {
      has_bom_ = true;
      position_ = 3;
      return absl::OkStatus();
    }
    struct Magic {
      absl::string_view bytes, kind;
    };
    constexpr Magic kMagics[] = {{"\xFF\xFE", "UTF-16 text; save it as UTF-8"},
                                 {"\xFE\xFF", "UTF-16 text; save it as UTF-8"},
                                 {"\x1F\x8B", "gzip-compressed; decompress it first"},
                                 {"\x28\xB5\x2F\xFD", "zstd-compressed; decompress it first"},
                                 {"PK\x03\x04", "a zip archive; unpack it first"},
                                 {"PAR1", "a Parquet file; convert it to JSONL first"}};
    for (const Magic& magic : kMagics) {
      if (absl::StartsWith(buffer_, magic.bytes)) {
        return absl::InvalidArgumentError(absl::StrCat("the file is ", magic.kind));
      }
    }
    return absl::OkStatus();
  }

  // Reads one line into text_; a line above the limit is counted but not kept.
  absl::StatusOr<bool> ReadLine(int64_t* line_bytes) {
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

}  // namespace

std::unique_ptr<Source> CreateJsonlSource(ReadAtFn read) {
  return std::make_unique<JsonlSource>(std::move(read));
}

}  // namespace vernier::data
