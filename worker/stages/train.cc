#include "worker/stages/train.h"

#include <utility>

#include "common/status_macros.h"
#include "worker/stages/train/compose.h"
#include "worker/stages/train/loop.h"
#include "worker/stages/train/publish.h"

namespace vernier::stages {

absl::Status RunTrain(const StageContext& context, trainer::TaskOutcome& outcome) {
  const v1::TrainTask& task = context.task.train();
  v1::Progress loading;
  loading.set_phase("loading");
  context.events.ReportProgress(loading);
  VN_ASSIGN_OR_RETURN(TrainSetup setup, Compose(context));
  TrainLoop loop(context, setup, outcome);
  if (!task.resume_key().empty())
    VN_RETURN_IF_ERROR(loop.Resume(task.resume_key(), task.resume_manifest_sha256()));
  VN_RETURN_IF_ERROR(loop.Run());
  if (outcome.stopped) return absl::OkStatus();
  VN_ASSIGN_OR_RETURN(Published published,
                      Publish(context, setup, loop.published_step(), loop.published_loss()));
  outcome.results["serve_difference"] = published.serve_difference;
  v1::TaskEvent event;
  *event.mutable_artifact() = std::move(published.artifact);
  context.events.Report(std::move(event));
  VN_ASSIGN_OR_RETURN(v1::Artifact ledger, PublishLedger(context, setup, loop.ledger(), outcome.step));
  event.Clear();
  *event.mutable_artifact() = std::move(ledger);
  context.events.Report(std::move(event));
  return absl::OkStatus();
}

}  // namespace vernier::stages
