#include "worker/data/formats/csv_reader.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::data {

absl::StatusOr<bool> CsvReader::Fill() {
  if (at_end_) return false;
  VN_ASSIGN_OR_RETURN(buffer_, fill_());
  at_ = 0;
  filled_ += static_cast<int64_t>(buffer_.size());
  at_end_ = buffer_.empty();
  return !at_end_;
}

void CsvReader::Append(CsvRecord& record, absl::string_view bytes) {
  record_bytes_ += static_cast<int64_t>(bytes.size());
  if (record_bytes_ > max_record_bytes_) {
    record.text.clear();
    record.fields.clear();
    record.text.shrink_to_fit();
    field_begin_ = 0;
    return;
  }
  if (record.problem.empty() && bytes.find('\0') != absl::string_view::npos) {
    record.problem =
        absl::StrCat("field ", record.fields.size() + 1, " holds a NUL byte; the file is damaged or no text");
  }
  record.text.append(bytes.data(), bytes.size());
}

void CsvReader::EndField(CsvRecord& record) {
  if (record_bytes_ <= max_record_bytes_) {
    if (record.fields.size() < kMaxCsvFields) {
      record.fields.push_back({field_begin_, record.text.size() - field_begin_, field_quoted_});
    } else if (record.problem.empty()) {
      record.problem = absl::StrCat("the record has more than ", kMaxCsvFields, " fields");
    }
  }
  field_begin_ = record.text.size();
  field_quoted_ = false;
  state_ = State::kFieldStart;
}

absl::StatusOr<bool> CsvReader::Next(CsvRecord* record) {
  record->text.clear();
  record->fields.clear();
  record->problem.clear();
  record->blank = record->crlf = false;
  record->line = line_;
  record_bytes_ = 0;
  field_begin_ = 0;
  field_quoted_ = false;
  state_ = State::kFieldStart;
  bool any = false, ended = false;
  while (!ended) {
    if (at_ == buffer_.size()) {
      VN_ASSIGN_OR_RETURN(const bool more, Fill());
      if (!more) break;
    }
    any = true;
    const char c = buffer_[at_];
    switch (state_) {
      case State::kFieldStart:
        if (c == '"') {
          field_quoted_ = true;
          quote_line_ = line_;
          state_ = State::kQuoted;
          ++at_;
          break;
        }
        state_ = State::kPlain;
        [[fallthrough]];
      case State::kPlain: {
        size_t end = at_;
        while (end < buffer_.size() && buffer_[end] != delimiter_ && buffer_[end] != '\n') ++end;
        Append(*record, absl::string_view(buffer_).substr(at_, end - at_));
        at_ = end;
        if (end == buffer_.size()) break;
        ++at_;
        if (buffer_[end] == '\n') {
          if (record->text.size() > field_begin_ && record->text.back() == '\r') {
            record->text.pop_back();
            record->crlf = true;
          }
          ended = true;
        } else {
          EndField(*record);
        }
        break;
      }
      case State::kQuoted: {
        size_t end = at_;
        while (end < buffer_.size() && buffer_[end] != '"') {
          if (buffer_[end] == '\n') ++line_;
          ++end;
        }
        Append(*record, absl::string_view(buffer_).substr(at_, end - at_));
        at_ = end;
        if (end < buffer_.size()) {
          ++at_;
          state_ = State::kQuoteInQuoted;
        }
        break;
      }
      case State::kQuoteInQuoted:
        if (c == '"') {
          Append(*record, "\"");
          state_ = State::kQuoted;
          ++at_;
        } else if (c == delimiter_) {
          EndField(*record);
          ++at_;
        } else if (c == '\n') {
          ++at_;
          ended = true;
        } else if (c == '\r') {
          record->crlf = true;  // the line feed follows, or the next byte is a problem
          ++at_;
        } else {
          if (record->problem.empty()) {
            record->problem =
                absl::StrCat("field ", record->fields.size() + 1,
                             " goes on after its closing quote; write quotes inside a field twice");
          }
          state_ = State::kPlain;
        }
        break;
    }
  }
  if (!any) return false;
  if (ended) ++line_;
  if (!ended && state_ == State::kQuoted && record->problem.empty()) {
    record->problem = absl::StrCat("the quote that opens in line ", quote_line_, " is never closed");
  }
  record->blank = record->fields.empty() && record->text.empty() && !field_quoted_ && record_bytes_ <= 1;
  if (!record->blank) EndField(*record);
  if (record_bytes_ > max_record_bytes_) {
    record->problem = absl::StrCat(
        "the row is ", HumanBytes(record_bytes_), "; the limit is ", HumanBytes(max_record_bytes_),
        ": shorten or split it, or close the quote that opens in line ", quote_line_);
    if (quote_line_ == 0) {
      record->problem = absl::StrCat("the row is ", HumanBytes(record_bytes_), "; the limit is ",
                                     HumanBytes(max_record_bytes_), ": shorten or split it");
    }
  }
  quote_line_ = 0;
  return true;
}

}  // namespace vernier::data
