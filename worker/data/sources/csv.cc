#include "worker/data/sources/csv.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/formats/csv_reader.h"
#include "worker/data/formats/json_text.h"
#include "worker/data/rows.h"

namespace vernier::data {
namespace {

constexpr int64_t kMarkBytes = 3;  // of a byte order mark

class CsvSource final : public Source {
 public:
  explicit CsvSource(SourceInput input)
      : read_(std::move(input.read)),
        reader_([this] { return Fill(); }, input.recognition.delimiter, kMaxRowBytes) {}

  // Reads the header. No record: the file is blank.
  absl::Status Open(const RowOptions& options) {
    do {
      VN_ASSIGN_OR_RETURN(const bool more, reader_.Next(&record_));
      if (!more) return absl::OkStatus();
    } while (record_.blank);
    const auto bad = [&](auto&&... parts) {
      return absl::InvalidArgumentError(absl::StrCat("the header in line ", record_.line, ": ", parts...));
    };
    if (!record_.problem.empty()) return bad(record_.problem);
    for (size_t i = 0; i < record_.fields.size(); ++i) {
      std::string name(absl::StripAsciiWhitespace(record_.field(i)));
      if (FirstInvalidUtf8(name) != absl::string_view::npos) return bad("column ", i + 1, " is not UTF-8");
      if (name.empty()) return bad("column ", i + 1, " has no name");
      if (std::find(names_.begin(), names_.end(), name) != names_.end()) {
        return bad("the column \"", Excerpt(name, 40), "\" is there twice");
      }
      names_.push_back(std::move(name));
    }
    VN_ASSIGN_OR_RETURN(unused_, JudgeHeader(names_, options));
    for (const std::string& name : names_) {
      std::string& key = keys_.emplace_back();
      if (std::find(unused_.begin(), unused_.end(), name) != unused_.end()) continue;
      AppendJsonString(name, &key);
      key.push_back(':');
    }
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Next(Record* record) override {
    if (names_.empty()) return false;
    while (true) {
      VN_ASSIGN_OR_RETURN(const bool more, reader_.Next(&record_));
      if (!more) return false;
      if (!record_.blank) break;
      if (num_blank_++ == 0) first_blank_ = record_.line;
    }
    if (record_.crlf) ++num_crlf_;
    *record = Record();
    record->line = record_.line;
    record->problem = ToJson();
    if (record->problem.empty()) record->bytes = json_;
    return true;
  }

  int64_t offset() const override { return reader_.offset() + (has_bom_ ? kMarkBytes : 0); }

  std::vector<std::string> Notes() const override {
    std::vector<std::string> notes;
    if (has_bom_) notes.push_back("the file starts with a byte order mark; ignored");
    if (num_crlf_ > 0) notes.push_back(absl::StrCat(num_crlf_, " lines end with CRLF; read as LF"));
    if (num_blank_ > 0) {
      notes.push_back(absl::StrCat(num_blank_, " blank lines skipped (first: line ", first_blank_, ")"));
    }
    return notes;
  }
  std::vector<std::string> unused_columns() const override { return unused_; }

 private:
  absl::StatusOr<std::string> Fill() {
    VN_ASSIGN_OR_RETURN(std::string bytes, read_(read_offset_, kSourceReadBytes));
    const bool first = read_offset_ == 0;
    read_offset_ += static_cast<int64_t>(bytes.size());
    if (first && absl::StartsWith(bytes, "\xEF\xBB\xBF")) {
      has_bom_ = true;
      bytes.erase(0, kMarkBytes);
      if (bytes.empty()) return read_(read_offset_, kSourceReadBytes);
    }
    return bytes;
  }

  // Fills json_; returns the problem, if there is one.
  std::string ToJson() {
    if (!record_.problem.empty()) return record_.problem;
    if (record_.fields.size() != names_.size()) {
      return absl::StrCat("the row has ", Counted(static_cast<int64_t>(record_.fields.size()), "field"),
                          ", the header has ", names_.size());
    }
    json_ = "{";
    for (size_t i = 0; i < names_.size(); ++i) {
      const absl::string_view field = record_.field(i);
      if (FirstInvalidUtf8(field) != absl::string_view::npos) {
        return absl::StrCat("column \"", Excerpt(names_[i], 40), "\" is not UTF-8; save the file as UTF-8");
      }
      if (keys_[i].empty() || (field.empty() && !record_.fields[i].quoted)) continue;
      if (json_.size() > 1) json_.push_back(',');
      json_.append(keys_[i]);
      AppendJsonString(field, &json_);
    }
    json_.push_back('}');
    return "";
  }

  const ReadAtFn read_;
  int64_t read_offset_ = 0;
  bool has_bom_ = false;
  CsvReader reader_;
  CsvRecord record_;
  std::vector<std::string> names_, keys_, unused_;  // keys_: as JSON with colon, "" = not used
  std::string json_;
  int64_t num_crlf_ = 0, num_blank_ = 0, first_blank_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Source>> CreateCsvSource(SourceInput input) {
  const RowOptions options = input.options;
  auto source = std::make_unique<CsvSource>(std::move(input));
  VN_RETURN_IF_ERROR(source->Open(options));
  return source;
}

}  // namespace vernier::data
