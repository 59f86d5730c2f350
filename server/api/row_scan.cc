#include "server/api/row_scan.h"

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/text.h"
#include "storage/bounded_json.h"

namespace vernier::server {
namespace {

// Broken rows may be dropped later (`on_bad_row: drop`), so the first one alone does not decide.
constexpr int kMaxSniffedRows = 20;
constexpr int64_t kMaxSniffedBytes = int64_t{8} << 20;

}  // namespace

void RowScan::Update(absl::string_view bytes) {
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
  } else if (!row->is_object()) {
    first_problem_.Update(absl::InvalidArgumentError(absl::StrCat(name, ": a row is one JSON object")));
  } else if (row->contains("messages")) {
    format_ = "messages";
  } else if (row->contains("prompt") && row->contains("completion")) {
    format_ = "prompt_completion";
  } else if (row->contains("text")) {
    format_ = "text";
  } else {
    first_problem_.Update(absl::InvalidArgumentError(
        absl::StrCat(name, ": a row has \"messages\", or \"prompt\" and \"completion\", or \"text\"")));
  }
}

absl::StatusOr<RowScan::Result> RowScan::Finish() {
  EndLine();  // the last line may lack its line break
  if (num_rows_ == 0) {
    return absl::InvalidArgumentError(
        "has no rows; write one JSON object a line, e.g. {\"messages\": [...]}");
  }
  if (format_.empty()) return first_problem_;
  return Result{num_rows_, format_};
}

}  // namespace vernier::server
