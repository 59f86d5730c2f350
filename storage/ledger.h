// The row ledger of a training stage: which steps trained which row, and what the row cost each time. The
// trainer writes it (worker/stages/train/row_ledger.h), clients read it. Format: docs/formats/ledger.md.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/safetensors.h"

namespace vernier::storage {

inline constexpr absl::string_view kLedgerName = "ledger";  // of the artifact, and of a checkpoint's part
inline constexpr absl::string_view kLedgerFile = "ledger.safetensors";
inline constexpr absl::string_view kLedgerPreviewsFile = "previews.jsonl";

// Facts about the rows of one split that do not change. All vectors have one element a row.
struct LedgerRows {
  std::vector<int64_t> line;  // of the source file, from 1; pieces of a split row share it
  std::vector<int32_t> tokens;
  std::vector<int32_t> trained_tokens;
  std::vector<float> weight;  // sum of the weights of its trained tokens

  int64_t size() const { return static_cast<int64_t>(line.size()); }
  bool operator==(const LedgerRows&) const = default;
};

// The validation rows at one step. `loss` has one element a row; empty where it never happened.
struct LedgerValidation {
  int64_t step = -1;
  std::vector<float> loss;
  bool operator==(const LedgerValidation&) const = default;
};

// A loss is sum of weight x nll / sum of weights over the row's trained tokens; 0 for a row without any.
struct Ledger {
  std::shared_ptr<const LedgerRows> train;       // never null
  std::shared_ptr<const LedgerRows> validation;  // never null; may have no rows
  // Steps that trained something, rising, from 1: step[i] trained the visits [step_end[i - 1], step_end[i]).
  std::vector<int64_t> step, step_end;
  std::vector<int32_t> visit_row;  // index into `train`
  std::vector<float> visit_loss;   // before that step's update
  LedgerValidation first, best, newest;

  int64_t num_visits() const { return static_cast<int64_t>(visit_row.size()); }
};

// Views for a writer, in the order of the format; valid while `ledger` lives and is unchanged.
std::vector<TensorView> TensorsOf(const Ledger& ledger);
// The file's `__metadata__`.
std::map<std::string, std::string> LedgerMetadata();

// DataLoss: a tensor is missing, or does not fit the others; `name` starts the message.
absl::StatusOr<Ledger> ReadLedger(const SafetensorsFile& file, absl::string_view name);

}  // namespace vernier::storage
