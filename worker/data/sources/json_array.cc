#include "worker/data/sources/json_array.h"

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

class JsonArraySource final : public Source {
 public:
  explicit JsonArraySource(ReadAtFn read) : read_(std::move(read)) {}

  absl::StatusOr<bool> Next(Record* record) override {
    if (finished_) return false;
    VN_ASSIGN_OR_RETURN(char c, NextVisible());
    if (row_ == 0 && !started_) {
      if (c == '\0') {
        finished_ = true;
        return false;
      }
      if (c != '[')
        return absl::InvalidArgumentError(
            absl::StrCat(Where(), "a JSON array of rows starts with [, not ", Shown(c)));
      started_ = true;
      ++position_;
      VN_ASSIGN_OR_RETURN(c, NextVisible());
      if (c == ']') return End();
    } else {
      if (c == ']') return End();
      if (c == '\0') return CutOff();
      if (c != ',')
        return absl::InvalidArgumentError(
            absl::StrCat(Where(), "between rows comes a comma, not ", Shown(c)));
      ++position_;
      VN_ASSIGN_OR_RETURN(c, NextVisible());
    }
    return Element(record);
  }

  int64_t offset() const override { return read_offset_ - static_cast<int64_t>(buffer_.size() - position_); }
  std::vector<std::string> Notes() const override {
    if (!has_bom_) return {};
    return {"the file starts with a byte order mark; ignored"};
  }
  absl::string_view unit() const override { return "row"; }

 private:
  std::string Where() const { return absl::StrCat("broken JSON in line ", line_, ": "); }
  static std::string Shown(char c) { return absl::StrCat("\"", Excerpt(absl::string_view(&c, 1)), "\""); }
  absl::Status CutOff() const {
    return absl::InvalidArgumentError(
        absl::StrCat("the JSON array ends in line ", line_, " without its ]: the file is cut off"));
  }

  absl::StatusOr<bool> Fill() {
    if (at_end_) return false;
    VN_ASSIGN_OR_RETURN(buffer_, read_(read_offset_, kSourceReadBytes));
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

  // The next byte that is no blank, not taken; NUL at the end.
  absl::StatusOr<char> NextVisible() {
    while (true) {
      while (position_ < buffer_.size() &&
             absl::ascii_isspace(static_cast<unsigned char>(buffer_[position_]))) {
        if (buffer_[position_++] == '\n') ++line_;
      }
      if (position_ < buffer_.size()) {
        if (buffer_[position_] == '\0')
          return absl::InvalidArgumentError(absl::StrCat(Where(), "a NUL byte"));
        return buffer_[position_];
      }
      VN_ASSIGN_OR_RETURN(const bool more, Fill());
      if (!more) return '\0';
    }
  }

  absl::StatusOr<bool> End() {
    ++position_;
    VN_ASSIGN_OR_RETURN(const char c, NextVisible());
    if (c != '\0') {
      return absl::InvalidArgumentError(
          absl::StrCat(Where(), "the array is closed, and ", Shown(c),
                       " follows: a file is one array, or has one object a line"));
    }
    finished_ = true;
    return false;
  }

  // Takes the bytes up to the comma or bracket behind the element. Only brackets and strings are looked at:
  // whether it is JSON is seen when the row is parsed.
  absl::StatusOr<bool> Element(Record* record) {
    text_.clear();
    ++row_;
    *record = Record();
    record->line = row_;
    int64_t size = 0, depth = 0;
    bool in_string = false, escaped = false;
    while (true) {
      if (position_ == buffer_.size()) {
        VN_ASSIGN_OR_RETURN(const bool more, Fill());
        if (!more) return CutOff();
      }
      size_t end = position_;
      bool done = false;
      for (; end < buffer_.size() && !done; ++end) {
        const char c = buffer_[end];
        if (c == '\n') ++line_;
        if (in_string) {
          if (escaped) {
            escaped = false;
          } else if (c == '\\') {
            escaped = true;
          } else if (c == '"') {
            in_string = false;
          }
        } else if (c == '"') {
          in_string = true;
        } else if (c == '{' || c == '[') {
          ++depth;
        } else if (c == '}' || c == ']') {
          if (depth == 0 && c == '}')
            return absl::InvalidArgumentError(absl::StrCat(Where(), "a } without its {"));
          if (depth == 0) done = true;
          --depth;
        } else if (c == ',' && depth == 0) {
          done = true;
        }
        if (done) break;
      }
      size += static_cast<int64_t>(end - position_);
      if (size <= kMaxRowBytes) {
        text_.append(buffer_, position_, end - position_);
      } else {
        text_ = std::string();
      }
      position_ = end;
      if (done) break;
    }
    if (size > kMaxRowBytes) {
      record->problem = absl::StrCat("the row is ", HumanBytes(size), "; the limit is ",
                                     HumanBytes(kMaxRowBytes), ": shorten or split it");
      return true;
    }
    record->bytes = absl::StripAsciiWhitespace(text_);
    return true;
  }

  const ReadAtFn read_;
  std::string buffer_;
  size_t position_ = 0;
  int64_t read_offset_ = 0;  // of the end of buffer_
  bool at_end_ = false, started_ = false, finished_ = false, has_bom_ = false;
  std::string text_;
  int64_t line_ = 1, row_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Source>> CreateJsonArraySource(SourceInput input) {
  return std::make_unique<JsonArraySource>(std::move(input.read));
}

}  // namespace vernier::data
