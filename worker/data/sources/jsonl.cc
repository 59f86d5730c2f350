#include "worker/data/sources/jsonl.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/formats/json_text.h"
#include "worker/data/sources/line_reader.h"

namespace vernier::data {
namespace {

class JsonlSource final : public Source {
 public:
  explicit JsonlSource(ReadAtFn read) : lines_(std::move(read)) {}
  absl::StatusOr<bool> Next(Record* record) override { return lines_.Next(record); }
  int64_t offset() const override { return lines_.offset(); }
  std::vector<std::string> Notes() const override { return lines_.Notes(); }

 private:
  LineReader lines_;
};

class LinesSource final : public Source {
 public:
  explicit LinesSource(ReadAtFn read) : lines_(std::move(read)) {}

  absl::StatusOr<bool> Next(Record* record) override {
    VN_ASSIGN_OR_RETURN(const bool more, lines_.Next(record));
    if (!more || !record->problem.empty()) return more;
    if (const size_t at = FirstInvalidUtf8(record->bytes); at != absl::string_view::npos) {
      record->problem =
          absl::StrCat("not UTF-8: byte ", at + 1, " of the line is invalid; save the file as UTF-8");
      record->bytes = {};
      return true;
    }
    json_ = "{\"text\":";
    AppendJsonString(record->bytes, &json_);
    json_.push_back('}');
    record->bytes = json_;
    return true;
  }

  int64_t offset() const override { return lines_.offset(); }
  std::vector<std::string> Notes() const override { return lines_.Notes(); }

 private:
  LineReader lines_;
  std::string json_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Source>> CreateJsonlSource(SourceInput input) {
  return std::make_unique<JsonlSource>(std::move(input.read));
}

absl::StatusOr<std::unique_ptr<Source>> CreateLinesSource(SourceInput input) {
  // The texts have no other name: a mapping would find nothing.
  if (!input.options.columns.empty()) {
    return absl::InvalidArgumentError("data.columns: lines of text have no columns; remove it");
  }
  return std::make_unique<LinesSource>(std::move(input.read));
}

}  // namespace vernier::data
