#include "client/ledger_view.h"

#include <algorithm>
#include <limits>

#include "absl/strings/string_view.h"

namespace vernier::client {
namespace {

using storage::Ledger;
using storage::LedgerRows;

RowVisits FactsOf(const StageLedger& ledger, int64_t row, bool validation) {
  const LedgerRows& rows = validation ? *ledger.ledger.validation : *ledger.ledger.train;
  RowVisits facts{.validation = validation,
                  .row = row,
                  .line = rows.line[row],
                  .tokens = rows.tokens[row],
                  .trained_tokens = rows.trained_tokens[row],
                  .weight = rows.weight[row]};
  const absl::string_view split = validation ? "validation" : "train";
  for (const LedgerPreview& preview : ledger.previews) {
    if (preview.split == split && preview.row == row) facts.preview = &preview;
  }
  return facts;
}

void AddValidationVisits(const Ledger& ledger, RowVisits& row) {
  for (const storage::LedgerValidation* const validation : {&ledger.first, &ledger.best, &ledger.newest}) {
    if (validation->step < 0) continue;
    if (!row.visits.empty() && row.visits.back().step >= validation->step) continue;
    row.visits.push_back({validation->step, validation->loss[row.row]});
  }
}

// Fills in the visits of `rows`, which are sorted by `row`.
void AddVisits(const Ledger& ledger, std::vector<RowVisits>& rows) {
  int64_t visit = 0;
  for (size_t i = 0; i < ledger.step.size(); ++i) {
    for (; visit < ledger.step_end[i]; ++visit) {
      const int64_t row = ledger.visit_row[visit];
      const auto found = std::lower_bound(rows.begin(), rows.end(), row,
                                          [](const RowVisits& a, int64_t b) { return a.row < b; });
      if (found != rows.end() && found->row == row) {
        found->visits.push_back({ledger.step[i], ledger.visit_loss[visit]});
      }
    }
  }
}

void Complete(const StageLedger& ledger, bool validation, std::vector<RowVisits>& rows) {
  if (validation) {
    for (RowVisits& row : rows) AddValidationVisits(ledger.ledger, row);
  } else {
    AddVisits(ledger.ledger, rows);
  }
  for (RowVisits& row : rows) {
    if (row.visits.empty()) continue;
    row.before = row.visits.front().loss;
    row.after = row.visits.back().loss;
  }
}

// First and last loss of each row to train on; NaN without a visit.
struct Ends {
  std::vector<double> first, last;
  std::vector<int64_t> visits;
};
Ends EndsOf(const Ledger& ledger) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  const auto size = static_cast<size_t>(ledger.train->size());
  Ends ends{std::vector<double>(size, none), std::vector<double>(size, none), std::vector<int64_t>(size)};
  for (int64_t i = 0; i < ledger.num_visits(); ++i) {
    const int32_t row = ledger.visit_row[i];
    if (ends.visits[row]++ == 0) ends.first[row] = ledger.visit_loss[i];
    ends.last[row] = ledger.visit_loss[i];
  }
  return ends;
}

template <typename Losses>
std::optional<double> WeightedMean(const LedgerRows& rows, const Losses& losses) {
  double sum = 0, weight = 0;
  for (int64_t row = 0; row < rows.size(); ++row) {
    const double loss = losses[row];
    if (loss != loss) continue;
    sum += loss * rows.weight[row];
    weight += rows.weight[row];
  }
  if (weight <= 0) return std::nullopt;
  return sum / weight;
}

}  // namespace

std::vector<RowVisits> RowsOfLine(const StageLedger& ledger, int64_t line, bool validation) {
  const LedgerRows& all = validation ? *ledger.ledger.validation : *ledger.ledger.train;
  std::vector<RowVisits> rows;
  for (int64_t row = 0; row < all.size(); ++row) {
    if (all.line[row] == line) rows.push_back(FactsOf(ledger, row, validation));
  }
  Complete(ledger, validation, rows);
  return rows;
}

std::vector<RowVisits> WorstRows(const StageLedger& ledger, int64_t count, bool validation) {
  const LedgerRows& all = validation ? *ledger.ledger.validation : *ledger.ledger.train;
  std::vector<double> losses;
  if (validation) {
    losses.assign(ledger.ledger.newest.loss.begin(), ledger.ledger.newest.loss.end());
  } else {
    losses = EndsOf(ledger.ledger).last;
  }
  std::vector<int64_t> order;
  for (size_t row = 0; row < losses.size(); ++row) {
    if (losses[row] == losses[row] && all.trained_tokens[row] > 0) order.push_back(static_cast<int64_t>(row));
  }
  const auto worse = [&](int64_t a, int64_t b) {
    return losses[a] > losses[b] || (losses[a] == losses[b] && a < b);
  };
  const auto end = order.begin() + std::min<int64_t>(count, static_cast<int64_t>(order.size()));
  std::partial_sort(order.begin(), end, order.end(), worse);
  order.erase(end, order.end());
  std::sort(order.begin(), order.end());
  std::vector<RowVisits> rows;
  for (const int64_t row : order) rows.push_back(FactsOf(ledger, row, validation));
  Complete(ledger, validation, rows);
  std::sort(rows.begin(), rows.end(),
            [&](const RowVisits& a, const RowVisits& b) { return worse(a.row, b.row); });
  return rows;
}

LedgerSummary Summarise(const StageLedger& stage) {
  const Ledger& ledger = stage.ledger;
  const Ends ends = EndsOf(ledger);
  LedgerSummary summary{.num_rows = ledger.train->size(),
                        .num_visits = ledger.num_visits(),
                        .num_steps = static_cast<int64_t>(ledger.step.size()),
                        .last_step = ledger.step.empty() ? 0 : ledger.step.back(),
                        .before = WeightedMean(*ledger.train, ends.first),
                        .after = WeightedMean(*ledger.train, ends.last),
                        .num_validation_rows = ledger.validation->size()};
  if (!ends.visits.empty()) {
    const auto [least, most] = std::minmax_element(ends.visits.begin(), ends.visits.end());
    summary.least_visits = *least;
    summary.most_visits = *most;
  }
  for (size_t row = 0; row < ends.visits.size(); ++row) {
    summary.num_trained += ends.visits[row] > 0 ? 1 : 0;
    summary.num_risen += ends.last[row] > ends.first[row] ? 1 : 0;
  }
  if (ledger.first.step >= 0) summary.validation_before = WeightedMean(*ledger.validation, ledger.first.loss);
  if (ledger.newest.step >= 0)
    summary.validation_after = WeightedMean(*ledger.validation, ledger.newest.loss);
  return summary;
}

}  // namespace vernier::client
