// Keeps the row ledger of a training stage (storage/ledger.h): one entry for each row of each step, from sums
// that the step computes anyway. It is part of every checkpoint, so that an attempt that resumes goes on with
// it as it was at that step, and the published one has the bytes of an undisturbed run's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/ledger.h"
#include "worker/data/prepared_data.h"
#include "worker/data/text/tokenizer.h"
#include "worker/objectives/objective.h"

namespace vernier::stages {

// Thread-compatible.
class RowLedger {
 public:
  // 8 bytes a visit: half a gigabyte. Steps that begin beyond it are not recorded.
  static constexpr int64_t kMaxVisits = int64_t{1} << 26;

  // Both outlive it. `max_visits` is for tests.
  RowLedger(const data::PreparedRows& train, const data::PreparedRows& validation,
            int64_t max_visits = kMaxVisits);

  // Step `step` (from 1) trained `rows`, whose sums are in the same order. False: there was no room for it,
  // said once.
  bool AddStep(int64_t step, absl::Span<const int64_t> rows, absl::Span<const objectives::RowSums> sums);
  // The validation at `step`, in row order; `best`: of the lowest loss so far.
  void AddValidation(int64_t step, absl::Span<const objectives::RowSums> sums, bool best);

  const storage::Ledger& ledger() const { return ledger_; }
  // Goes on from `ledger`. DataLoss: it is of other rows; `name` starts the message.
  absl::Status Restore(storage::Ledger ledger, absl::string_view name);

 private:
  const int64_t max_visits_;
  bool told_full_ = false;
  storage::Ledger ledger_;
};

// What a reader needs to recognise the rows that cost most, one JSON object a line (docs/formats/ledger.md):
// `count` rows of each split with the highest newest loss.
std::string LedgerPreviews(const storage::Ledger& ledger, const data::PreparedRows& train,
                           const data::PreparedRows& validation, const data::Tokenizer& tokenizer,
                           int64_t count);

}  // namespace vernier::stages
