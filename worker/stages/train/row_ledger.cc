#include "worker/stages/train/row_ledger.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "worker/data/text/decode_stream.h"
#include "worker/stages/evaluate/token_metrics.h"

namespace vernier::stages {
namespace {

// Tokens on each side of the first trained answer that a preview shows.
constexpr int64_t kPreviewTokens = 96;

std::shared_ptr<const storage::LedgerRows> RowsOf(const data::PreparedRows& rows) {
  auto facts = std::make_shared<storage::LedgerRows>();
  for (int64_t row = 0; row < rows.num_rows(); ++row) {
    const absl::Span<const float> weights = rows.weights(row);
    facts->line.push_back(rows.line(row));
    facts->tokens.push_back(static_cast<int32_t>(rows.length(row)));
    facts->trained_tokens.push_back(
        static_cast<int32_t>(std::count_if(weights.begin(), weights.end(), [](float w) { return w > 0; })));
    facts->weight.push_back(static_cast<float>(rows.weight_sum(row)));
  }
  return facts;
}

// The `count` rows with the highest loss, worst first; equal ones in their order.
std::vector<int64_t> Worst(const std::vector<std::optional<float>>& losses, int64_t count) {
  std::vector<int64_t> rows;
  for (size_t row = 0; row < losses.size(); ++row) {
    if (losses[row].has_value()) rows.push_back(static_cast<int64_t>(row));
  }
  const auto end = rows.begin() + std::min<int64_t>(count, static_cast<int64_t>(rows.size()));
  std::partial_sort(rows.begin(), end, rows.end(), [&](int64_t a, int64_t b) {
    return *losses[a] > *losses[b] || (*losses[a] == *losses[b] && a < b);
  });
  rows.erase(end, rows.end());
  return rows;
}

void AppendPreview(absl::string_view split, const data::PreparedRows& rows, int64_t row,
                   const data::Tokenizer& tokenizer, std::string& lines) {
  const absl::Span<const int32_t> ids = rows.ids(row);
  const int64_t prompt = std::clamp<int64_t>(rows.prompt_length(row), 0, rows.length(row));
  const int64_t before = std::min(prompt, kPreviewTokens);
  const int64_t after = std::min(rows.length(row) - prompt, kPreviewTokens);
  const auto text = [&](int64_t begin, int64_t size) {
    return std::string(absl::StripAsciiWhitespace(
        data::DecodeText(tokenizer, ids.subspan(begin, size), /*skip_special=*/true)));
  };
  nlohmann::ordered_json line;
  line["split"] = std::string(split);
  line["row"] = row;
  line["line"] = rows.line(row);
  line["prompt"] = absl::StrCat(before < prompt ? "..." : "", text(prompt - before, before));
  line["answer"] = absl::StrCat(text(prompt, after), after < rows.length(row) - prompt ? "..." : "");
  absl::StrAppend(&lines, line.dump(), "\n");
}

}  // namespace

RowLedger::RowLedger(const data::PreparedRows& train, const data::PreparedRows& validation,
                     int64_t max_visits)
    : max_visits_(max_visits) {
  ledger_.train = RowsOf(train);
  ledger_.validation = RowsOf(validation);
}

bool RowLedger::AddStep(int64_t step, absl::Span<const int64_t> rows,
                        absl::Span<const objectives::RowSums> sums) {
  VN_CHECK(rows.size() == sums.size());
  // A rule of the visits alone, so that an attempt that resumes decides the same.
  if (ledger_.num_visits() >= max_visits_ || ledger_.train->size() > std::numeric_limits<int32_t>::max()) {
    return std::exchange(told_full_, true);
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    ledger_.visit_row.push_back(static_cast<int32_t>(rows[i]));
    ledger_.visit_loss.push_back(static_cast<float>(LossOf(sums[i])));
  }
  ledger_.step.push_back(step);
  ledger_.step_end.push_back(ledger_.num_visits());
  return true;
}

void RowLedger::AddValidation(int64_t step, absl::Span<const objectives::RowSums> sums, bool best) {
  storage::LedgerValidation validation{.step = step};
  for (const objectives::RowSums& row : sums) validation.loss.push_back(static_cast<float>(LossOf(row)));
  if (ledger_.first.step < 0) ledger_.first = validation;
  if (best) ledger_.best = validation;
  ledger_.newest = std::move(validation);
}

absl::Status RowLedger::Restore(storage::Ledger ledger, absl::string_view name) {
  if (*ledger.train != *ledger_.train || *ledger.validation != *ledger_.validation) {
    return absl::DataLossError(absl::StrCat(name, ": its ledger is of other rows than the stage's"));
  }
  ledger_ = std::move(ledger);
  return absl::OkStatus();
}

std::string LedgerPreviews(const storage::Ledger& ledger, const data::PreparedRows& train,
                           const data::PreparedRows& validation, const data::Tokenizer& tokenizer,
                           int64_t count) {
  std::vector<std::optional<float>> losses(ledger.train->size());
  for (int64_t i = 0; i < ledger.num_visits(); ++i) losses[ledger.visit_row[i]] = ledger.visit_loss[i];
  std::string lines;
  for (const int64_t row : Worst(losses, count)) AppendPreview("train", train, row, tokenizer, lines);
  losses.assign(ledger.newest.loss.begin(), ledger.newest.loss.end());
  for (const int64_t row : Worst(losses, count)) {
    AppendPreview("validation", validation, row, tokenizer, lines);
  }
  return lines;
}

}  // namespace vernier::stages
