#include "worker/stages/train/cadence.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace vernier::stages {
namespace {

constexpr int64_t kDefaultCheckpointEvery = 50;

}  // namespace

bool Cadence::ValidationDue(int64_t step, bool ended) const {
  return has_validation && (step == 0 || ended || (validate_every > 0 && step % validate_every == 0));
}

bool Cadence::CheckpointDue(int64_t step, bool ended) const {
  return checkpoint_every > 0 && step > 0 && (ended || step % checkpoint_every == 0);
}

absl::StatusOr<Cadence> MakeCadence(const v1::TrainStage& stage, int64_t total_steps, bool has_validation) {
  Cadence cadence;
  cadence.total_steps = total_steps;
  cadence.has_validation = has_validation;
  cadence.validate_every = stage.validate().has_every_steps() ? stage.validate().every_steps()
                                                              : std::max<int64_t>(1, total_steps / 10);
  if (cadence.validate_every < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("validate.every_steps = ", cadence.validate_every, " is negative"));
  }
  cadence.checkpoint_every =
      stage.checkpoint().has_every_steps() ? stage.checkpoint().every_steps() : kDefaultCheckpointEvery;
  if (cadence.checkpoint_every < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("checkpoint.every_steps = ", cadence.checkpoint_every, " is negative"));
  }
  if (stage.publish() == v1::PUBLISH_BEST && !has_validation) {
    return absl::InvalidArgumentError(
        "publish: best needs validation rows; set data.validation or publish: last");
  }
  cadence.publish_best = has_validation && stage.publish() != v1::PUBLISH_LAST;
  if (stage.has_early_stopping()) {
    if (!has_validation) {
      return absl::InvalidArgumentError(
          "early_stopping needs validation rows; set data.validation or remove it");
    }
    EarlyStop& early_stop = cadence.early_stop.emplace();
    if (stage.early_stopping().has_patience()) early_stop.patience = stage.early_stopping().patience();
    early_stop.min_delta = stage.early_stopping().min_delta();
    if (early_stop.patience < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("early_stopping.patience = ", early_stop.patience, " is outside [1, 1000000]"));
    }
    if (!(early_stop.min_delta >= 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("early_stopping.min_delta = ", early_stop.min_delta, " is negative"));
    }
  }
  return cadence;
}

bool StopRule::Observe(double valid_loss) {
  const double min_delta = options_.has_value() ? options_->min_delta : 0.0;
  if (!state_.seen || valid_loss < state_.best - min_delta) {
    state_ = {.seen = true, .best = valid_loss, .stale = 0};
    return false;
  }
  ++state_.stale;
  return options_.has_value() && state_.stale >= options_->patience;
}

}  // namespace vernier::stages
