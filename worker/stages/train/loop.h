// The training loop; train.h says what it promises.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/stages/progress_reporter.h"
#include "worker/stages/stage.h"
#include "worker/stages/train/buffers.h"
#include "worker/stages/train/cadence.h"
#include "worker/stages/train/checkpointer.h"
#include "worker/stages/train/compose.h"
#include "worker/stages/train/row_ledger.h"
#include "worker/stages/train/stepper.h"
#include "worker/stages/train/train_state.h"

namespace vernier::stages {

// Thread-compatible.
class TrainLoop {
 public:
  // All of them outlive it. `outcome.step` follows the steps done.
  TrainLoop(const StageContext& context, TrainSetup& setup, trainer::TaskOutcome& outcome);

  // Continues from the checkpoint in the folder `key`. Errors: those of RestoreCheckpoint.
  absl::Status Resume(const std::string& key, const std::string& manifest_sha256);
  // Until the last step, an early stop or a stop request (`outcome.stopped`). At the end the run holds what
  // is to be published, and `outcome.results` are filled in.
  absl::Status Run();

  // After Run: the step whose parameters the run holds, and their validation loss where there is validation
  // data.
  int64_t published_step() const;
  std::optional<double> published_loss() const;
  // What every row cost at every visit.
  const storage::Ledger& ledger() const { return ledger_.ledger(); }

 private:
  // What is published: the best validation, or the newest.
  const std::optional<Validation>& PublishedValidation() const;
  bool Ended() const { return state_.step == setup_.cadence.total_steps || state_.early_stopped; }
  bool ValidationPending() const;
  // False: a stop was requested meanwhile, and nothing changed.
  absl::StatusOr<bool> Validate();
  absl::Status StartCheckpoint();
  absl::Status StopWithCheckpoint();
  absl::Status DoStep();
  absl::Status CountSkipped(const std::string& why);
  absl::Status FinishRun();
  void ReportStep(const StepResult& result, double seconds);
  void ReportMetrics(v1::MetricPoint point);
  void ReportProgress(absl::string_view phase);
  double EtaSeconds() const;

  const StageContext& context_;
  TrainSetup& setup_;
  trainer::TaskOutcome& outcome_;
  Stepper stepper_;
  Checkpointer checkpointer_;
  ProgressReporter progress_;
  StopRule stop_rule_;
  TrainState state_;
  RowLedger ledger_;
  std::shared_ptr<const Buffers> best_;  // parameters of the best validation; null unless those are published
  int64_t last_checkpoint_step_ = -1;
  double recent_step_seconds_ = 0.0;  // moving mean; 0 = none yet
  double recent_tokens_per_second_ = 0.0;
  double last_validation_seconds_ = 0.0;
};

}  // namespace vernier::stages
