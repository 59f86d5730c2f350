#include "worker/data/policies.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace vernier::data {
namespace {

EncodedRow Piece(const EncodedRow& row, int64_t begin, int64_t end) {
  EncodedRow piece;
  piece.ids.assign(row.ids.begin() + begin, row.ids.begin() + end);
  piece.weights.assign(row.weights.begin() + begin, row.weights.begin() + end);
  piece.weights[0] = 0.0F;
  piece.prompt_length = std::clamp<int64_t>(row.prompt_length - begin, 1, end - begin);
  return piece;
}

int64_t Size(const EncodedRow& row) { return static_cast<int64_t>(row.ids.size()); }

}  // namespace

Cut CutRow(const EncodedRow& row, int64_t max_tokens, v1::OnOverlong policy) {
  VN_CHECK(max_tokens > 0);
  Cut cut;
  const int64_t size = Size(row);
  if (size <= max_tokens) {
    cut.pieces.push_back(row);
    return cut;
  }
  const int64_t stop = policy == v1::ON_OVERLONG_SPLIT      ? size
                       : policy == v1::ON_OVERLONG_TRUNCATE ? max_tokens
                                                            : 0;
  cut.tokens_lost = size;
  for (int64_t begin = 0; begin < stop; begin += max_tokens) {
    EncodedRow piece = Piece(row, begin, std::min(begin + max_tokens, size));
    if (piece.num_trained() == 0) continue;
    cut.tokens_lost -= Size(piece);
    cut.pieces.push_back(std::move(piece));
  }
  return cut;
}

void Findings::AddBad(absl::string_view where, int64_t line, absl::string_view reason, int64_t num_tokens) {
  ++num_bad_;
  bad_tokens_ += num_tokens;
  if (bad_.size() < kMaxListed) bad_.push_back({std::string(where), line, std::string(reason)});
}

void Findings::AddOverlong(absl::string_view where, int64_t line, const EncodedRow& row, int64_t max_tokens) {
  ++num_overlong_;
  lost_truncate_ += CutRow(row, max_tokens, v1::ON_OVERLONG_TRUNCATE).tokens_lost;
  lost_split_ += CutRow(row, max_tokens, v1::ON_OVERLONG_SPLIT).tokens_lost;
  lost_drop_ += Size(row);
  if (overlong_.size() < kMaxListed) {
    overlong_.push_back(
        {std::string(where), line, absl::StrCat(Size(row), " tokens, more than max_tokens = ", max_tokens)});
  }
}

std::vector<v1::RowProblem> Findings::Problems() const {
  std::vector<Listed> all = bad_;
  all.insert(all.end(), overlong_.begin(), overlong_.end());
  std::stable_sort(all.begin(), all.end(), [](const Listed& a, const Listed& b) {
    return a.where != b.where ? a.where < b.where : a.line < b.line;
  });
  std::vector<v1::RowProblem> problems;
  for (const Listed& listed : all) {
    if (problems.size() == kMaxListed) break;
    v1::RowProblem problem;
    problem.set_line(listed.line);
    problem.set_reason(listed.where.empty() ? listed.reason
                                            : absl::StrCat(listed.where, "data: ", listed.reason));
    problems.push_back(std::move(problem));
  }
  return problems;
}

std::string Findings::List(const std::vector<Listed>& listed, int64_t num) {
  std::string text;
  for (const Listed& one : listed)
    absl::StrAppend(&text, "\n  ", one.where, "line ", one.line, ": ", one.reason);
  const int64_t more = num - static_cast<int64_t>(listed.size());
  if (more > 0) absl::StrAppend(&text, "\n  ... and ", more, " more");
  return text;
}

absl::Status Findings::Judge(const PrepareOptions& options, int64_t num_read) const {
  std::string message;
  if (num_bad_ > 0 && options.on_bad_row != v1::ON_BAD_ROW_DROP) {
    absl::StrAppend(&message, "data: ", num_bad_, " of ", num_read, num_read == 1 ? " row is" : " rows are",
                    " bad and on_bad_row is fail:", List(bad_, num_bad_),
                    "\nCorrect them, or set data.on_bad_row: drop, which leaves out ", num_bad_, " rows (",
                    bad_tokens_, " tokens in those that could be tokenised).");
  }
  if (num_overlong_ > 0 &&
      (options.on_overlong == v1::ON_OVERLONG_REFUSE || options.on_overlong == v1::ON_OVERLONG_UNSPECIFIED)) {
    absl::StrAppend(&message, message.empty() ? "" : "\n", "data: ", num_overlong_, " of ", num_read,
                    num_read == 1 ? " row is" : " rows are", " longer than max_tokens = ", options.max_tokens,
                    " and on_overlong is refuse:", List(overlong_, num_overlong_), "\nThe longest row has ",
                    longest_, " tokens. Raise data.max_tokens, or set data.on_overlong: truncate (loses ",
                    lost_truncate_, " tokens), split (loses ", lost_split_, ") or drop (loses ", lost_drop_,
                    ").");
  }
  return message.empty() ? absl::OkStatus() : absl::InvalidArgumentError(message);
}

}  // namespace vernier::data
