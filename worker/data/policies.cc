#include "worker/data/policies.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/text.h"

namespace vernier::data {
namespace {

int64_t Size(const EncodedRow& row) { return static_cast<int64_t>(row.ids.size()); }

// Calls `take(begin, end)` for every piece that stays.
template <typename Take>
void ForEachPiece(const EncodedRow& row, int64_t max_tokens, v1::OnOverlong policy, const Take& take) {
  VN_CHECK(max_tokens > 0);
  const int64_t size = Size(row);
  if (size <= max_tokens) return take(int64_t{0}, size);
  const int64_t stop = policy == v1::ON_OVERLONG_SPLIT      ? size
                       : policy == v1::ON_OVERLONG_TRUNCATE ? max_tokens
                                                            : 0;
  for (int64_t begin = 0; begin < stop; begin += max_tokens) {
    const int64_t end = std::min(begin + max_tokens, size);
    // Its first token has nothing before it.
    const bool trains = std::any_of(row.weights.begin() + begin + 1, row.weights.begin() + end,
                                    [](float weight) { return weight > 0; });
    if (trains) take(begin, end);
  }
}

}  // namespace

Cut CutRow(const EncodedRow& row, int64_t max_tokens, v1::OnOverlong policy) {
  Cut cut;
  cut.tokens_lost = Size(row);
  ForEachPiece(row, max_tokens, policy, [&](int64_t begin, int64_t end) {
    EncodedRow& piece = cut.pieces.emplace_back();
    piece.ids.assign(row.ids.begin() + begin, row.ids.begin() + end);
    piece.weights.assign(row.weights.begin() + begin, row.weights.begin() + end);
    piece.weights[0] = 0.0F;
    piece.prompt_length = std::clamp<int64_t>(row.prompt_length - begin, 1, end - begin);
    cut.tokens_lost -= end - begin;
  });
  return cut;
}

int64_t TokensLost(const EncodedRow& row, int64_t max_tokens, v1::OnOverlong policy) {
  int64_t lost = Size(row);
  ForEachPiece(row, max_tokens, policy, [&](int64_t begin, int64_t end) { lost -= end - begin; });
  return lost;
}

std::string RowPlace::ToString() const { return absl::StrCat(where, unit, " ", line); }

void Findings::AddBad(const RowPlace& place, absl::string_view reason, int64_t num_tokens) {
  ++num_bad_;
  bad_tokens_ += num_tokens;
  if (bad_.size() < kMaxListed) bad_.push_back({place, std::string(reason)});
}

void Findings::AddOverlong(const RowPlace& place, const OverlongRow& row, int64_t max_tokens) {
  ++num_overlong_;
  const auto lose = [&row](Loss& loss, int64_t tokens) {
    loss.tokens += tokens;
    loss.rows += tokens == row.num_tokens ? 1 : 0;
  };
  lose(truncate_, row.lost_by_truncate);
  lose(split_, row.lost_by_split);
  lose(drop_, row.lost_by_drop);
  if (overlong_.size() < kMaxListed) {
    overlong_.push_back(
        {place, absl::StrCat(row.longest_tokens, " tokens, more than max_tokens = ", max_tokens)});
  }
}

std::vector<v1::RowProblem> Findings::Problems() const {
  std::vector<Listed> all = bad_;
  all.insert(all.end(), overlong_.begin(), overlong_.end());
  std::stable_sort(all.begin(), all.end(), [](const Listed& a, const Listed& b) {
    return a.place.where != b.place.where ? a.place.where < b.place.where : a.place.line < b.place.line;
  });
  std::vector<v1::RowProblem> problems;
  for (const Listed& listed : all) {
    if (problems.size() == kMaxListed) break;
    v1::RowProblem problem;
    problem.set_line(listed.place.line);
    problem.set_reason(listed.place.where.empty()
                           ? listed.reason
                           : absl::StrCat(listed.place.where, "data: ", listed.reason));
    problems.push_back(std::move(problem));
  }
  return problems;
}

std::vector<v1::OverlongLoss> Findings::OverlongLosses() const {
  std::vector<v1::OverlongLoss> losses;
  if (num_overlong_ == 0) return losses;
  for (const auto& [policy, loss] :
       {std::pair{v1::ON_OVERLONG_REFUSE, Loss{}}, std::pair{v1::ON_OVERLONG_TRUNCATE, truncate_},
        std::pair{v1::ON_OVERLONG_SPLIT, split_}, std::pair{v1::ON_OVERLONG_DROP, drop_}}) {
    v1::OverlongLoss& out = losses.emplace_back();
    out.set_policy(policy);
    out.set_num_rows(loss.rows);
    out.set_num_tokens(loss.tokens);
  }
  return losses;
}

std::string Findings::List(const std::vector<Listed>& listed, int64_t num) {
  std::string text;
  for (const Listed& one : listed) absl::StrAppend(&text, "\n  ", one.place.ToString(), ": ", one.reason);
  const int64_t more = num - static_cast<int64_t>(listed.size());
  if (more > 0) absl::StrAppend(&text, "\n  ... and ", more, " more");
  return text;
}

absl::Status Findings::Judge(const PrepareOptions& options, int64_t num_read) const {
  std::string message;
  if (num_bad_ > 0 && options.on_bad_row != v1::ON_BAD_ROW_DROP) {
    absl::StrAppend(&message, "data: ", num_bad_, " of ", Counted(num_read, "row"),
                    num_bad_ == 1 ? " is" : " are", " bad and on_bad_row is fail:", List(bad_, num_bad_),
                    "\nCorrect them, or set data.on_bad_row: drop, which leaves out ",
                    Counted(num_bad_, "row"), " (", Counted(bad_tokens_, "token"),
                    " in those that could be tokenised).");
  }
  if (num_overlong_ > 0 &&
      (options.on_overlong == v1::ON_OVERLONG_REFUSE || options.on_overlong == v1::ON_OVERLONG_UNSPECIFIED)) {
    absl::StrAppend(
        &message, message.empty() ? "" : "\n", "data: ", num_overlong_, " of ", Counted(num_read, "row"),
        num_overlong_ == 1 ? " is" : " are", " longer than max_tokens = ", options.max_tokens,
        " and on_overlong is refuse:", List(overlong_, num_overlong_), "\nThe longest row has ",
        Counted(longest_, "token"), ". Raise data.max_tokens, or set data.on_overlong: truncate (loses ",
        Counted(truncate_.tokens, "token"), "), split (loses ", split_.tokens, ") or drop (loses ",
        drop_.tokens, ").");
  }
  return message.empty() ? absl::OkStatus() : absl::InvalidArgumentError(message);
}

}  // namespace vernier::data
