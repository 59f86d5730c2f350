// Writes checkpoints while training goes on, and reads them back. Format: docs/formats/checkpoint.md.
//
//   state.safetensors  every trained parameter and optimiser buffer (Run::State)
//   best.safetensors   the parameters of the best validation so far, where the stage publishes those
//   ledger.safetensors what every row cost so far (docs/formats/ledger.md)
//   state.json         TrainState and its identity
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/ledger.h"
#include "worker/stages/stage.h"
#include "worker/stages/train/buffers.h"
#include "worker/stages/train/train_state.h"

namespace vernier::stages {

// Everything of one checkpoint, apart from the run: training may go on while it is written.
struct Snapshot {
  int64_t step = 0;
  Buffers buffers;
  std::shared_ptr<const Buffers> best;  // null: none; shared with the loop, which never changes it
  storage::Ledger ledger;
  bool is_best = false;  // this step's validation is the best so far
  nlohmann::json state;
};

// Thread-compatible: the trainer's one thread. Events are reported from the writing thread, after the
// manifest exists.
class Checkpointer {
 public:
  // `output_key` is the stage's folder; `context` outlives it.
  Checkpointer(const StageContext& context, std::string output_key);
  // Waits for the one in flight.
  ~Checkpointer() = default;

  // Begins to write; returns at once, unless another one is in flight: then it waits for that first
  // (counted). Errors: of the one before. ResourceExhausted, Unavailable: the attempt should end, nothing
  // older is harmed.
  absl::Status Start(Snapshot snapshot);
  // The error of the one in flight, if it has ended by now. Does not wait.
  absl::Status Poll();
  // Waits for the one in flight; its error.
  absl::Status Drain();

  // How often, and how long, Start waited for the one before.
  int64_t num_waits() const { return num_waits_; }
  double wait_seconds() const { return wait_seconds_; }

 private:
  absl::Status Write(const Snapshot& snapshot) const;

  const StageContext& context_;
  const std::string output_key_;
  std::future<absl::Status> in_flight_;  // invalid: none
  std::jthread thread_;
  int64_t num_waits_ = 0;
  double wait_seconds_ = 0.0;
};

struct Restored {
  TrainState state;
  std::shared_ptr<const Buffers> best;
  std::optional<storage::Ledger> ledger;  // none: the checkpoint was written by a version without one
};

// Reads the checkpoint in the folder `key` into `run`: exact, bit by bit. DataLoss: it is gone or damaged;
// try the one before. FailedPrecondition: it was made under another identity (names each difference).
absl::StatusOr<Restored> RestoreCheckpoint(storage::ObjectStore& store, const std::string& key,
                                           const std::string& manifest_sha256, const TrainIdentity& identity,
                                           trainer::Run& run);

}  // namespace vernier::stages
