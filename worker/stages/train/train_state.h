// The counters of a training stage: with the parameters and optimiser buffers (Run::State) all that the next
// step depends on. They are a checkpoint's state.json.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/objectives/objective.h"
#include "worker/stages/train/cadence.h"

namespace vernier::stages {

// What a checkpoint may only be continued under. All texts; compared one by one.
using TrainIdentity = std::map<std::string, std::string>;

// A validation, as sums: everything that is reported follows from them.
struct Validation {
  int64_t step = 0;
  objectives::RowSums sums;
};

struct TrainState {
  int64_t step = 0;         // steps done, skipped ones included
  int64_t num_updates = 0;  // the optimiser's
  int64_t num_tokens = 0;   // trained on
  int64_t num_rows = 0;
  int64_t num_skipped = 0;     // steps left out because their gradient was not finite, twice
  int64_t num_recomputed = 0;  // steps whose second computation was finite
  double train_seconds = 0;    // in steps, over all attempts
  double validation_seconds = 0;
  std::optional<double> train_loss;  // of the newest step that had trained tokens
  std::optional<Validation> first, newest, best;
  StopRule::State stop_rule;
  bool early_stopped = false;
};

// Equal states give equal JSON; numbers survive exactly.
nlohmann::json ToJson(const TrainState& state, const TrainIdentity& identity);

// DataLoss: malformed; `name` starts the message.
absl::StatusOr<TrainState> TrainStateFromJson(const nlohmann::json& json, absl::string_view name);

// FailedPrecondition: the checkpoint was made under another identity; names every difference with both
// values.
absl::Status CheckIdentity(const nlohmann::json& json, const TrainIdentity& identity, absl::string_view name);

}  // namespace vernier::stages
