#include "worker/stages/train/loop.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/check.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "worker/stages/evaluate/token_metrics.h"
#include "worker/stages/forward_rows.h"
#include "worker/stages/start.h"

namespace vernier::stages {
namespace {

constexpr int64_t kMaxSkippedSteps = 10;

Stepper::Options StepperOptions(const v1::TrainStage& stage, const TrainSetup& setup) {
  Stepper::Options options;
  if (stage.has_clip_norm()) options.clip_norm = stage.clip_norm();
  options.schedule = stage.schedule();
  options.total_steps = setup.cadence.total_steps;
  options.layout = setup.plan->options().layout;
  options.checkpointed_layers = stage.checkpointed_layers();
  return options;
}

}  // namespace

TrainLoop::TrainLoop(const StageContext& context, TrainSetup& setup, trainer::TaskOutcome& outcome)
    : context_(context),
      setup_(setup),
      outcome_(outcome),
      stepper_(*setup.run, *setup.train, *setup.plan, context.faults,
               StepperOptions(context.task.train().stage(), setup)),
      checkpointer_(context, context.task.train().output_key()),
      progress_(context.events),
      stop_rule_(setup.cadence.early_stop),
      ledger_(*setup.train, *setup.validation) {}

absl::Status TrainLoop::Resume(const std::string& key, const std::string& manifest_sha256) {
  VN_ASSIGN_OR_RETURN(Restored restored,
                      RestoreCheckpoint(context_.store, key, manifest_sha256, setup_.identity, *setup_.run));
  state_ = std::move(restored.state);
  best_ = std::move(restored.best);
  if (state_.step < 0 || state_.step > setup_.cadence.total_steps ||
      (best_ == nullptr) != (!setup_.cadence.publish_best || !state_.best.has_value())) {
    return absl::DataLossError(absl::StrCat(key, ": its state does not fit the stage"));
  }
  if (restored.ledger.has_value()) VN_RETURN_IF_ERROR(ledger_.Restore(*std::move(restored.ledger), key));
  stop_rule_.set_state(state_.stop_rule);
  last_checkpoint_step_ = state_.step;
  outcome_.step = state_.step;
  context_.events.ReportLog("info", absl::StrCat("resumed from the checkpoint at step ", state_.step));
  return absl::OkStatus();
}

bool TrainLoop::ValidationPending() const {
  const bool done = state_.newest.has_value() && state_.newest->step == state_.step;
  return !done && setup_.cadence.ValidationDue(state_.step, Ended());
}

absl::Status TrainLoop::Run() {
  while (true) {
    VN_RETURN_IF_ERROR(checkpointer_.Poll());
    if (ValidationPending() && !context_.events.stop_requested()) {
      VN_ASSIGN_OR_RETURN(const bool validated, Validate());
      if (!validated) return StopWithCheckpoint();
    }
    if (context_.events.stop_requested()) return StopWithCheckpoint();
    if (setup_.cadence.CheckpointDue(state_.step, Ended()) && last_checkpoint_step_ != state_.step) {
      VN_RETURN_IF_ERROR(StartCheckpoint());
    }
    if (Ended()) return FinishRun();
    VN_RETURN_IF_ERROR(DoStep());
  }
}

absl::StatusOr<bool> TrainLoop::Validate() {
  const Stopwatch stopwatch;
  const auto forward = [&](const objectives::LabelledBatch& batch) { return setup_.run->Forward(batch); };
  const auto on_rows = [&](int64_t) {
    ReportProgress("validating");
    return !context_.events.stop_requested();
  };
  const absl::StatusOr<std::vector<objectives::RowSums>> sums =
      ForwardRows(*setup_.validation, setup_.validation->num_rows(), setup_.forward, forward, on_rows);
  if (absl::IsCancelled(sums.status())) return false;
  VN_RETURN_IF_ERROR(sums.status());
  const Validation validation{.step = state_.step, .sums = Total(*sums)};
  const double loss = LossOf(validation.sums);
  if (!std::isfinite(loss)) {
    return absl::InvalidArgumentError(
        absl::StrCat("step ", state_.step,
                     ": the validation loss is not finite; lower the learning rate or look at the model"));
  }
  last_validation_seconds_ = stopwatch.Seconds();
  state_.validation_seconds += last_validation_seconds_;
  state_.newest = validation;
  if (state_.step == 0) state_.first = validation;
  const bool best = !state_.best.has_value() || loss < LossOf(state_.best->sums);
  ledger_.AddValidation(state_.step, *sums, best);
  if (best) {
    state_.best = validation;
    if (setup_.cadence.publish_best) {
      best_ = std::make_shared<const Buffers>(CopyBuffers(*setup_.run, kParameterPrefix));
    }
  }
  const bool end = stop_rule_.Observe(loss);
  state_.stop_rule = stop_rule_.state();
  if (end && !Ended()) {
    state_.early_stopped = true;
    context_.events.ReportLog(
        "info", absl::StrCat("stopped early at step ", state_.step, ": no validation since step ",
                             state_.best->step, " was better"));
  }
  v1::MetricPoint point;
  (*point.mutable_values())["valid_loss"] = loss;
  (*point.mutable_values())["valid_token_accuracy"] = TokenAccuracyOf(validation.sums);
  (*point.mutable_values())["valid_perplexity"] = PerplexityOf(validation.sums);
  ReportMetrics(std::move(point));
  return true;
}

absl::Status TrainLoop::StartCheckpoint() {
  Snapshot snapshot;
  snapshot.step = state_.step;
  snapshot.buffers = CopyBuffers(*setup_.run, "");
  snapshot.best = best_;
  snapshot.ledger = ledger_.ledger();
  snapshot.is_best = state_.best.has_value() && state_.best->step == state_.step;
  state_.num_updates = setup_.run->num_updates();
  snapshot.state = ToJson(state_, setup_.identity);
  last_checkpoint_step_ = state_.step;
  return checkpointer_.Start(std::move(snapshot));
}

absl::Status TrainLoop::StopWithCheckpoint() {
  ReportProgress("checkpointing");
  const bool nothing_done = state_.step == 0 && !state_.newest.has_value();
  if (!nothing_done && last_checkpoint_step_ != state_.step) VN_RETURN_IF_ERROR(StartCheckpoint());
  VN_RETURN_IF_ERROR(checkpointer_.Drain());
  outcome_.stopped = true;
  return absl::OkStatus();
}

absl::Status TrainLoop::DoStep() {
  const Stopwatch stopwatch;
  VN_ASSIGN_OR_RETURN(const StepResult result, stepper_.Step(state_.step));
  const double seconds = stopwatch.Seconds();
  ++state_.step;
  outcome_.step = state_.step;
  state_.train_seconds += seconds;
  if (!result.not_finite.empty()) return CountSkipped(result.not_finite);
  state_.num_tokens += result.num_tokens;
  state_.num_rows += result.num_rows;
  if (result.recomputed) {
    ++state_.num_recomputed;
    context_.events.ReportLog(
        "warning",
        absl::StrCat("step ", state_.step, ": the loss or gradient was not finite; computed again, it was"));
  }
  if (result.updated) {
    state_.train_loss = LossOf(result.sums);
    if (!ledger_.AddStep(state_.step, result.rows, result.row_sums)) {
      context_.events.ReportLog(
          "warning", absl::StrCat("the row ledger is full: it ends before step ", state_.step, " (",
                                  RowLedger::kMaxVisits, " visits)"));
    }
  }
  ReportStep(result, seconds);
  return absl::OkStatus();
}

absl::Status TrainLoop::CountSkipped(const std::string& why) {
  const bool skip = context_.task.train().stage().on_nonfinite() == v1::ON_NONFINITE_SKIP;
  if (!skip || state_.num_skipped == kMaxSkippedSteps) {
    // The step was not done: its number is where the next attempt would begin.
    outcome_.step = state_.step - 1;
    return absl::InvalidArgumentError(
        skip ? absl::StrCat(why, " (", kMaxSkippedSteps, " steps were skipped before; more are not)") : why);
  }
  ++state_.num_skipped;
  context_.events.ReportLog(
      "warning", absl::StrCat(why, "; skipped, ", state_.num_skipped, " of at most ", kMaxSkippedSteps));
  return absl::OkStatus();
}

const std::optional<Validation>& TrainLoop::PublishedValidation() const {
  return setup_.cadence.publish_best ? state_.best : state_.newest;
}

int64_t TrainLoop::published_step() const {
  return setup_.cadence.publish_best ? state_.best->step : state_.step;
}

std::optional<double> TrainLoop::published_loss() const {
  const std::optional<Validation>& validation = PublishedValidation();
  if (!validation.has_value()) return std::nullopt;
  return LossOf(validation->sums);
}

absl::Status TrainLoop::FinishRun() {
  VN_RETURN_IF_ERROR(checkpointer_.Drain());
  ReportProgress("exporting");
  if (setup_.cadence.publish_best) {
    VN_CHECK(best_ != nullptr);
    VN_RETURN_IF_ERROR(RestoreBuffers(*best_, kParameterPrefix, "best parameters", *setup_.run));
    if (state_.best->step == 0) {
      context_.events.ReportLog(
          "warning",
          "no validation was better than the one before the first step, so what is "
          "published is the start, untrained; try a lower learning rate or more rows, or "
          "set publish: last");
    }
  }
  std::map<std::string, double>& results = outcome_.results;
  if (const std::optional<Validation>& validation = PublishedValidation(); validation.has_value()) {
    results["valid_loss"] = LossOf(validation->sums);
    results["valid_token_accuracy"] = TokenAccuracyOf(validation->sums);
    results["valid_perplexity"] = PerplexityOf(validation->sums);
    results["best_step"] = static_cast<double>(state_.best->step);
  }
  if (state_.first.has_value()) results["valid_loss_before"] = LossOf(state_.first->sums);
  if (state_.train_loss.has_value()) results["train_loss"] = *state_.train_loss;
  results["train_seconds"] = state_.train_seconds;
  results["validation_seconds"] = state_.validation_seconds;
  results["tokens_per_second"] =
      state_.train_seconds > 0 ? static_cast<double>(state_.num_tokens) / state_.train_seconds : 0.0;
  results["steps"] = static_cast<double>(state_.step);
  results["epochs"] = setup_.plan->EpochOf(state_.step);
  results["tokens"] = static_cast<double>(state_.num_tokens);
  results["rows"] = static_cast<double>(state_.num_rows);
  results["trained_parameters"] = static_cast<double>(setup_.run->num_trained_parameters());
  const std::pair<const char*, double> counters[] = {
      {"skipped_steps", static_cast<double>(state_.num_skipped)},
      {"recomputed_steps", static_cast<double>(state_.num_recomputed)},
      {"early_stopped", state_.early_stopped ? 1.0 : 0.0},
      {"checkpoint_waits", static_cast<double>(checkpointer_.num_waits())},
      {"checkpoint_wait_seconds", checkpointer_.wait_seconds()},
  };
  for (const auto& [name, value] : counters) {
    if (value != 0) results[name] = value;
  }
  return absl::OkStatus();
}

void TrainLoop::ReportStep(const StepResult& result, double seconds) {
  const double rate = static_cast<double>(result.num_tokens) / std::max(seconds, 1e-9);
  const auto follow = [](double& mean, double value) { mean = mean == 0 ? value : 0.8 * mean + 0.2 * value; };
  follow(recent_step_seconds_, seconds);
  follow(recent_tokens_per_second_, rate);
  v1::MetricPoint point;
  auto& values = *point.mutable_values();
  if (result.updated) {
    values["train_loss"] = LossOf(result.sums);
    values["grad_norm"] = result.grad_norm;
  }
  values["learning_rate"] = result.learning_rate;
  values["tokens_per_second"] = rate;
  values["step_seconds"] = seconds;
  values["epoch"] = setup_.plan->EpochOf(state_.step);
  values["tokens"] = static_cast<double>(state_.num_tokens);
  ReportMetrics(std::move(point));
  ReportProgress("training");
}

void TrainLoop::ReportMetrics(v1::MetricPoint point) {
  point.set_stage(context_.task.stage());
  point.set_step(state_.step);
  point.mutable_time()->set_seconds(absl::ToUnixSeconds(absl::Now()));
  v1::TaskEvent event;
  *event.mutable_metric() = std::move(point);
  context_.events.Report(std::move(event));
}

double TrainLoop::EtaSeconds() const {
  const int64_t left = setup_.cadence.total_steps - state_.step;
  double seconds = recent_step_seconds_ * static_cast<double>(left);
  if (setup_.cadence.has_validation) {
    const int64_t every = setup_.cadence.validate_every;
    const int64_t validations = 1 + (every > 0 ? left / every : 0);
    seconds += last_validation_seconds_ * static_cast<double>(validations);
  }
  return recent_step_seconds_ > 0 ? seconds : 0.0;
}

void TrainLoop::ReportProgress(absl::string_view phase) {
  v1::Progress progress;
  progress.set_phase(std::string(phase));
  progress.set_step(state_.step);
  progress.set_total_steps(setup_.cadence.total_steps);
  progress.set_tokens(state_.num_tokens);
  progress.set_tokens_per_second(recent_tokens_per_second_);
  progress.set_eta_seconds(EtaSeconds());
  if (state_.train_loss.has_value()) {
    progress.set_has_train_loss(true);
    progress.set_train_loss(*state_.train_loss);
  }
  if (state_.newest.has_value()) {
    progress.set_has_valid_loss(true);
    progress.set_valid_loss(LossOf(state_.newest->sums));
  }
  progress_.Report(progress);
}

}  // namespace vernier::stages
