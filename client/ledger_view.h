// Questions that a row ledger answers (docs/formats/ledger.md): pure functions of it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "client/results.h"

namespace vernier::client {

struct Visit {
  int64_t step = 0;  // that trained it, from 1; of a validation row: steps done when it was judged
  double loss = 0.0;
};

struct RowVisits {
  bool validation = false;
  int64_t row = 0;  // of the prepared data, from 0
  int64_t line = 0;
  int64_t tokens = 0, trained_tokens = 0;
  double weight = 0.0;
  std::vector<Visit> visits;            // by step
  std::optional<double> before, after;  // of the first and the last visit
  const LedgerPreview* preview = nullptr;
};

// The rows of that line: several where it was split, none where it is not in the split.
std::vector<RowVisits> RowsOfLine(const StageLedger& ledger, int64_t line, bool validation);

// At most `count` rows, those with the highest loss at their last visit first. Rows without a visit, or
// without a trained token, are left out.
std::vector<RowVisits> WorstRows(const StageLedger& ledger, int64_t count, bool validation);

struct LedgerSummary {
  int64_t num_rows = 0, num_trained = 0, num_visits = 0;
  int64_t least_visits = 0, most_visits = 0;  // of a row
  int64_t num_steps = 0, last_step = 0;
  int64_t num_risen = 0;  // rows whose last loss is above their first one
  // Means over rows by their weights; nullopt: no row.
  std::optional<double> before, after;
  int64_t num_validation_rows = 0;
  std::optional<double> validation_before, validation_after;
};
LedgerSummary Summarise(const StageLedger& ledger);

}  // namespace vernier::client
