// The end of training: exports what was trained, checks that it serves what was trained (law 5), publishes
// it.
#pragma once

#include "absl/status/statusor.h"
#include "storage/ledger.h"
#include "vernier/v1/artifact.pb.h"
#include "worker/stages/stage.h"
#include "worker/stages/train/compose.h"

namespace vernier::stages {

struct Published {
  v1::Artifact artifact;
  double serve_difference = 0.0;  // relative, of logits after reloading
};

// Publishes the run's parameters as they are now, those of step `step`. `valid_loss` goes to the manifest
// where known. Internal: the reloaded artifact computes other logits than the trainer beyond the tolerance;
// nothing is published.
absl::StatusOr<Published> Publish(const StageContext& context, TrainSetup& setup, int64_t step,
                                  std::optional<double> valid_loss);

// Publishes the row ledger as an artifact of its own, with previews of the rows that cost most.
absl::StatusOr<v1::Artifact> PublishLedger(const StageContext& context, const TrainSetup& setup,
                                           const storage::Ledger& ledger, int64_t step);

}  // namespace vernier::stages
