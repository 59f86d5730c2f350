#include "server/api/row_scan.h"

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/text.h"
#include "storage/bounded_json.h"
#include "worker/data/formats/row_forms.h"

namespace vernier::server {
namespace {

// Broken rows may be dropped later (`on_bad_row: drop`), so the first one alone does not decide.
constexpr int kMaxSniffedRows = 20;
constexpr int64_t kMaxSniffedBytes = int64_t{8} << 20;

bool IsPlainJsonLines(const data::Recognition& file) {
  return file.file == data::FileFormat::kJsonl && file.compression == data::Compression::kNone;
}

}  // namespace

void RowScan::Update(absl::string_view bytes) {
  if (file_.has_value()) return Count(bytes);
  head_.append(bytes.data(), bytes.size());
  if (head_.size() >= data::kHeadBytes) Recognise(/*whole=*/false);
}

void RowScan::Recognise(bool whole) {
  file_ = data::Recognise(absl::string_view(head_).substr(0, data::kHeadBytes), whole, {});
  Count(head_);
  head_ = std::string();
}

void RowScan::Count(absl::string_view bytes) {
  if (!file_->ok() || !IsPlainJsonLines(**file_)) return;
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const absl::string_view piece = bytes.substr(0, end);
    if (blank_) blank_ = absl::StripAsciiWhitespace(piece).empty();
    if (format_.empty() && num_sniffed_ < kMaxSniffedRows) {
      if (static_cast<int64_t>(row_.size() + piece.size()) <= kMaxSniffedBytes) {
        row_.append(piece.data(), piece.size());
      } else {
        row_too_long_ = true;
      }
    }
    if (end == absl::string_view::npos) return;
    EndLine();
    bytes.remove_prefix(end + 1);
  }
}

void RowScan::EndLine() {
  if (!blank_) {
    ++num_rows_;
    if (format_.empty() && num_sniffed_ < kMaxSniffedRows) Sniff();
  }
  ++line_;
  blank_ = true;
  row_too_long_ = false;
  row_.clear();
}

void RowScan::Sniff() {
  ++num_sniffed_;
  const std::string name = absl::StrCat("line ", line_);
  absl::string_view text = row_;
  if (line_ == 1) absl::ConsumePrefix(&text, "\xEF\xBB\xBF");
  if (line_ == 1 && (absl::StartsWith(text, "\xFF\xFE") || absl::StartsWith(text, "\xFE\xFF"))) {
    first_problem_.Update(absl::InvalidArgumentError("the file is UTF-16 text; save it as UTF-8"));
    return;
  }
  const absl::StatusOr<nlohmann::json> row =
      row_too_long_ ? absl::InvalidArgumentError(
                          absl::StrCat(name, ": a row is at most ", HumanBytes(kMaxSniffedBytes), " long"))
                    : storage::ParseJson(text, name, {.max_bytes = kMaxSniffedBytes, .max_depth = 64});
  if (!row.ok()) {
    first_problem_.Update(row.status());
    return;
  }
  if (!row->is_object()) {
    first_problem_.Update(absl::InvalidArgumentError(absl::StrCat(name, ": a row is one JSON object")));
    return;
  }
  any_object_ = true;
  const std::optional<data::RowForm> form = data::RecogniseForm(
      [&](absl::string_view column) { return row->contains(std::string(column)); }, data::RowOptions());
  if (form.has_value()) format_ = std::string(data::RowFormName(*form));
}

absl::StatusOr<RowScan::Result> RowScan::Finish() {
  if (!file_.has_value()) Recognise(/*whole=*/true);
  if (!file_->ok()) return file_->status();
  if (!IsPlainJsonLines(**file_)) return Result{0, (*file_)->DatasetFormat()};
  EndLine();  // the last line may lack its line break
  if (num_rows_ == 0) {
    return absl::InvalidArgumentError(
        "has no rows; write one JSON object a line, e.g. {\"messages\": [...]}");
  }
  // Rows of no known form may have their columns mapped by a job.
  if (format_.empty() && any_object_) format_ = "jsonl";
  if (format_.empty()) return first_problem_;
  return Result{num_rows_, format_};
}

}  // namespace vernier::server
