// Over 500 lines in one file: the transitions of stages and jobs are one table of cases, read together.
#include "server/jobs/job_machine.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/check.h"
#include "common/digest.h"
#include "common/text.h"
#include "proto/canonical_bytes.h"
#include "server/jobs/checkpoints.h"
#include "server/jobs/tasks.h"
#include "server/jobs/transitions.h"
#include "storage/layout.h"

namespace vernier::server {
namespace {

using scheduler::NextAction;

constexpr absl::Duration kStoppedBackoff = absl::Seconds(1);  // an agent that keeps stopping must not spin us

v1::StageStatus& StatusOf(JobRecord& record, int stage) {
  return *record.mutable_job()->mutable_stages(stage);
}
const v1::StageStatus& StatusOf(const JobRecord& record, int stage) { return record.job().stages(stage); }

void MoveStage(Draft& draft, JobRecord& record, int stage, v1::StageState state, absl::string_view reason) {
  v1::StageStatus& status = StatusOf(record, stage);
  status.set_reason(Shortened(reason, kMaxReasonBytes));
  if (status.state() == state) return;
  VN_CHECK(CanFollow(status.state(), state));
  status.set_state(state);
  if (state == v1::STAGE_STATE_RUNNING && !status.has_start_time()) {
    *status.mutable_start_time() = ToTimestamp(draft.now());
  }
  if (HasEnded(state)) *status.mutable_end_time() = ToTimestamp(draft.now());
  draft.Reschedule();
}

void MoveJob(Draft& draft, JobRecord& record, v1::JobState state, absl::string_view reason,
             absl::string_view level) {
  v1::Job& job = *record.mutable_job();
  if (job.state() == state) return;
  VN_CHECK(CanFollow(job.state(), state));
  job.set_state(state);
  job.set_state_reason(Shortened(reason, kMaxReasonBytes));
  if (state == v1::JOB_STATE_RUNNING && !job.has_start_time())
    *job.mutable_start_time() = ToTimestamp(draft.now());
  if (HasEnded(state)) *job.mutable_end_time() = ToTimestamp(draft.now());
  draft.AddEvent(record, level, "", absl::StrCat("job ", NameOf(state), reason.empty() ? "" : ": ", reason));
}

// From now on the stage waits for a place.
void BeginWaiting(Draft& draft, StageRecord& stage, absl::Duration backoff) {
  const absl::Time ready = draft.now() + backoff;
  *stage.mutable_ready_time() = ToTimestamp(ready);
  if (backoff > absl::ZeroDuration()) {
    *stage.mutable_not_before() = ToTimestamp(ready);
  } else {
    stage.clear_not_before();
  }
  draft.Reschedule();
}

// The lease is gone and the stage must run (again).
void Requeue(Draft& draft, JobRecord& record, int stage, absl::string_view reason, absl::Duration backoff) {
  if (StatusOf(record, stage).state() == v1::STAGE_STATE_PREPARING) {
    MoveStage(draft, record, stage, v1::STAGE_STATE_PREPARING, reason);
  } else {
    MoveStage(draft, record, stage, v1::STAGE_STATE_QUEUED, reason);
  }
  BeginWaiting(draft, *record.mutable_stages(stage), backoff);
}

// `stage "sft"`
std::string Quoted(const JobRecord& record, int stage) {
  return absl::StrCat("stage \"", record.stages(stage).id(), "\"");
}

void SetError(JobRecord& record, int stage, absl::StatusCode code, absl::string_view message) {
  v1::JobError& error = *record.mutable_job()->mutable_error();
  error.set_code(absl::StatusCodeToString(code));
  error.set_message(Shortened(message, kMaxReasonBytes));
  error.set_stage(record.stages(stage).id());
}

bool IsFailing(const JobRecord& record) { return record.job().has_error(); }

bool HasLease(const JobRecord& record) {
  return absl::c_any_of(record.stages(), [](const StageRecord& stage) { return stage.has_lease(); });
}

bool AnyStage(const JobRecord& record, v1::StageState state) {
  return absl::c_any_of(record.job().stages(),
                        [&](const v1::StageStatus& status) { return status.state() == state; });
}

bool AllSucceeded(const JobRecord& record) {
  return absl::c_all_of(record.job().stages(), [](const v1::StageStatus& status) {
    return status.state() == v1::STAGE_STATE_SUCCEEDED;
  });
}

// Takes back what was only granted; asks what runs to checkpoint and leave.
void StopLeases(Draft& draft, JobRecord& record, absl::string_view reason) {
  for (int i = 0; i < record.stages_size(); ++i) {
    StageRecord& stage = *record.mutable_stages(i);
    if (!stage.has_lease()) continue;
    LeaseRecord& lease = *stage.mutable_lease();
    if (!lease.committed()) {
      draft.Tell(lease.agent(), CancelMessage(lease.lease(), reason));
      stage.clear_lease();
      Requeue(draft, record, i, reason, absl::ZeroDuration());
    } else if (!lease.stopping()) {
      lease.set_stopping(true);
      *lease.mutable_stop_time() = ToTimestamp(draft.now());
      draft.Tell(lease.agent(), StopMessage(lease.lease(), reason));
    }
  }
}

// Stages that hold nothing and will not run any more.
void CancelRest(Draft& draft, JobRecord& record, absl::string_view reason) {
  for (int i = 0; i < record.stages_size(); ++i) {
    if (HasEnded(StatusOf(record, i).state()) || record.stages(i).has_lease()) continue;
    MoveStage(draft, record, i, v1::STAGE_STATE_CANCELLED, reason);
  }
}

void UnlockStages(Draft& draft, JobRecord& record) {
  if (AnyStage(record, v1::STAGE_STATE_PREPARING)) return;
  for (int i = 0; i < record.stages_size(); ++i) {
    if (StatusOf(record, i).state() != v1::STAGE_STATE_WAITING) continue;
    std::vector<std::string> missing;
    for (const std::string& need : record.stages(i).needs()) {
      const auto it = absl::c_find_if(record.job().stages(),
                                      [&](const v1::StageStatus& status) { return status.id() == need; });
      if (it->state() != v1::STAGE_STATE_SUCCEEDED) missing.push_back(need);
    }
    if (missing.empty()) {
      MoveStage(draft, record, i, v1::STAGE_STATE_QUEUED, "waits for a device");
      BeginWaiting(draft, *record.mutable_stages(i), absl::ZeroDuration());
    } else {
      StatusOf(record, i).set_reason(absl::StrCat("waits for stage ", absl::StrJoin(missing, ", ")));
    }
  }
}

v1::JobState StateByStages(const JobRecord& record) {
  if (AnyStage(record, v1::STAGE_STATE_RUNNING)) return v1::JOB_STATE_RUNNING;
  if (AnyStage(record, v1::STAGE_STATE_STARTING)) return v1::JOB_STATE_STARTING;
  if (AnyStage(record, v1::STAGE_STATE_PREPARING)) return v1::JOB_STATE_VALIDATING;
  return v1::JOB_STATE_QUEUED;
}

// The reason of the first stage in `state`.
std::string ReasonOf(const JobRecord& record, v1::StageState state) {
  const auto it = absl::c_find_if(record.job().stages(),
                                  [&](const v1::StageStatus& status) { return status.state() == state; });
  return it == record.job().stages().end() ? "" : it->reason();
}

// Makes the job what its stages, its leases and the user's intent say. Ends every function below that changes
// one.
void Settle(Draft& draft, JobRecord& record) {
  if (HasEnded(record.job().state())) return;
  const bool cancel = record.intent() == JobRecord::INTENT_CANCEL;
  const bool pause = record.intent() == JobRecord::INTENT_PAUSE;
  if (IsFailing(record) || cancel) {
    const std::string why = IsFailing(record)
                                ? absl::StrCat("stage \"", record.job().error().stage(), "\" failed")
                                : "the job was cancelled";
    StopLeases(draft, record, why);
    CancelRest(draft, record, why);
  } else if (pause) {
    StopLeases(draft, record, "the job was paused");
  } else {
    UnlockStages(draft, record);
  }
  if (AllSucceeded(record)) return MoveJob(draft, record, v1::JOB_STATE_SUCCEEDED, "", "info");
  if (HasLease(record)) {
    if (cancel) return MoveJob(draft, record, v1::JOB_STATE_CANCELLING, "waiting for it to stop", "info");
    if (pause) return MoveJob(draft, record, v1::JOB_STATE_PAUSING, "waiting for its checkpoint", "info");
  } else {
    if (IsFailing(record)) {
      return MoveJob(
          draft, record, v1::JOB_STATE_FAILED,
          absl::StrCat("stage \"", record.job().error().stage(), "\": ", record.job().error().message()),
          "error");
    }
    if (cancel) return MoveJob(draft, record, v1::JOB_STATE_CANCELLED, "by its owner", "info");
    if (pause)
      return MoveJob(draft, record, v1::JOB_STATE_PAUSED, "by its owner; resume continues it", "info");
  }
  switch (const v1::JobState state = StateByStages(record)) {
    case v1::JOB_STATE_RUNNING:
      return MoveJob(draft, record, state, ReasonOf(record, v1::STAGE_STATE_RUNNING), "info");
    case v1::JOB_STATE_STARTING:
      return MoveJob(draft, record, state, ReasonOf(record, v1::STAGE_STATE_STARTING), "info");
    case v1::JOB_STATE_VALIDATING:
      return MoveJob(draft, record, state, "its data is being prepared", "info");
    default:
      return MoveJob(draft, record, state, ReasonOf(record, v1::STAGE_STATE_QUEUED), "info");
  }
}

// The world was not as the job needs it, and may be mended (STYLE section 5).
bool IsFaultOfWorld(absl::StatusCode code) {
  return code == absl::StatusCode::kFailedPrecondition || code == absl::StatusCode::kNotFound ||
         code == absl::StatusCode::kDataLoss;
}

void Fail(Draft& draft, JobRecord& record, int stage, absl::StatusCode code, absl::string_view why) {
  std::string message = NamingInputs(why, record, stage);
  if (message != why && IsFaultOfWorld(code))
    absl::StrAppend(&message, "; then `vernier resume ", record.id(), "` goes on");
  MoveStage(draft, record, stage, v1::STAGE_STATE_FAILED, message);
  draft.AddEvent(record, "error", record.stages(stage).id(), message);
  if (!IsFailing(record)) SetError(record, stage, code, message);
}

// InvalidArgument: the policies left nothing to do the job with (law 7).
absl::Status CheckRows(const JobRecord& record, int stage) {
  const v1::Data& data = DataOf(record.job().spec().stages(stage));
  const v1::DataReport& report = record.stages(stage).prepared().report();
  if (report.num_rows() == 0 && record.job().spec().stages(stage).has_train()) {
    return absl::InvalidArgumentError(absl::StrCat("data: no row of \"",
                                                   data.mix_size() > 0 ? data.mix(0).source() : data.source(),
                                                   "\" is left to train on"));
  }
  if (data.has_validation() && report.num_validation_rows() == 0) {
    return absl::InvalidArgumentError(absl::StrCat("data.validation = \"", data.validation().from(), "\" of ",
                                                   Counted(report.num_rows(), "row"),
                                                   " holds no row; use a larger share or a file of its own"));
  }
  return absl::OkStatus();
}

// What the policies for bad and overlong rows did (law 1); "" when they met none.
std::string LostText(const v1::DataReport& report) {
  std::vector<std::string> met, lost;
  if (report.num_bad_rows() > 0) met.push_back(Counted(report.num_bad_rows(), "bad row"));
  if (report.num_overlong_rows() > 0) met.push_back(Counted(report.num_overlong_rows(), "overlong row"));
  if (report.num_dropped_rows() > 0) {
    lost.push_back(absl::StrCat(Counted(report.num_dropped_rows(), "row"), " dropped"));
  }
  if (report.tokens_lost() > 0) lost.push_back(absl::StrCat(Counted(report.tokens_lost(), "token"), " lost"));
  if (met.empty()) return "";
  return absl::StrCat(absl::StrJoin(met, " and "), ": ",
                      lost.empty() ? "nothing lost" : absl::StrJoin(lost, ", "));
}

// Tasks say how long a report is; what is kept of one is bounded here.
void Bound(v1::DataReport& report) {
  const auto most = [](auto* list, int limit) {
    if (list->size() > limit) list->DeleteSubrange(limit, list->size() - limit);
  };
  const auto shorten = [](std::string& text) { text = Shortened(text, kMaxNoteBytes); };
  most(report.mutable_notes(), kMaxNotes);
  most(report.mutable_problems(), kMaxNotes);
  most(report.mutable_lengths(), kMaxNotes);
  most(report.mutable_overlong_losses(), kMaxNotes);
  most(report.mutable_sources(), 2 * kMaxNotes);
  most(report.mutable_unused_columns(), 2 * kMaxNotes);
  most(report.mutable_implicit_system_prompts(), kMaxNotes);
  most(report.mutable_duplicates(), kMaxNotes);
  most(report.mutable_contaminations(), kMaxNotes);
  report.clear_samples();
  for (std::string& note : *report.mutable_notes()) shorten(note);
  for (v1::RowProblem& problem : *report.mutable_problems()) shorten(*problem.mutable_reason());
  for (v1::SourceReport& source : *report.mutable_sources()) shorten(*source.mutable_name());
  for (std::string& column : *report.mutable_unused_columns()) shorten(column);
  for (std::string& prompt : *report.mutable_implicit_system_prompts())
    prompt = Shortened(prompt, kMaxReasonBytes);
  for (auto* pairs : {report.mutable_duplicates(), report.mutable_contaminations()}) {
    for (v1::RowPair& pair : *pairs) {
      shorten(*pair.mutable_row());
      shorten(*pair.mutable_other());
    }
  }
  shorten(*report.mutable_file_format());
  shorten(*report.mutable_row_format());
}

void KeepPrepared(Draft& draft, JobRecord& record, int stage, const v1::PreparedData& prepared, bool shared) {
  v1::PreparedData& kept = *record.mutable_stages(stage)->mutable_prepared();
  kept = prepared;
  v1::DataReport& report = *kept.mutable_report();
  Bound(report);
  const std::string lost = LostText(report);
  if (!lost.empty()) report.add_notes(lost);
  *StatusOf(record, stage).mutable_data_report() = report;
  draft.AddEvent(
      record, report.tokens_lost() > 0 ? "warning" : "info", record.stages(stage).id(),
      absl::StrCat("data ready", shared ? " (the same as another stage's)" : "",
                   prepared.from_cache() ? " (prepared before)" : "", ": ", Counted(report.num_rows(), "row"),
                   ", ", Counted(report.num_tokens(), "token"), ", ", report.num_trained_tokens(),
                   " of them trained",
                   report.num_validation_rows() > 0
                       ? absl::StrCat(", ", Counted(report.num_validation_rows(), "validation row"))
                       : "",
                   lost.empty() ? "" : "; ", lost));
}

// The rows of `stage` are ready, and so are those of stages that asked for the same.
void FinishPreparing(Draft& draft, JobRecord& record, int stage) {
  const v1::PreparedData prepared = record.stages(stage).prepared();
  const std::string wanted = record.stages(stage).prepare_digest();
  for (int i = 0; i < record.stages_size(); ++i) {
    StageRecord& other = *record.mutable_stages(i);
    if (StatusOf(record, i).state() != v1::STAGE_STATE_PREPARING || other.has_lease()) continue;
    if (i != stage) {
      if (other.prepare_digest() != wanted) continue;
      KeepPrepared(draft, record, i, prepared, true);
    }
    // Attempts and errors of preparing say nothing about running.
    other.clear_last_error();
    other.clear_last_error_step();
    other.clear_not_before();
    other.set_attempts_without_progress(0);
    if (const absl::Status rows = CheckRows(record, i); !rows.ok()) {
      Fail(draft, record, i, rows.code(), rows.message());
    } else {
      MoveStage(draft, record, i, v1::STAGE_STATE_WAITING, "waits for the data of other stages");
    }
  }
}

void Succeed(Draft& draft, JobRecord& record, int stage, const LeaseRecord& lease,
             const std::map<std::string, double>& results) {
  const std::string id = record.stages(stage).id();
  if (lease.prepare_task()) {
    if (!record.stages(stage).has_prepared()) {
      return Fail(draft, record, stage, absl::StatusCode::kInternal, "preparing ended without a result");
    }
    return FinishPreparing(draft, record, stage);
  }
  if (record.job().spec().stages(stage).has_train() && record.stages(stage).artifacts().empty()) {
    return Fail(draft, record, stage, absl::StatusCode::kInternal,
                "training ended without publishing an artifact");
  }
  const v1::Stage& spec = record.job().spec().stages(stage);
  if (spec.has_export_() && record.stages(stage).artifacts_size() < spec.export_().profiles_size()) {
    return Fail(draft, record, stage, absl::StatusCode::kInternal,
                "exporting ended without publishing every profile");
  }
  for (const auto& [name, value] : results) {
    auto& kept = *StatusOf(record, stage).mutable_results();
    if (static_cast<int>(kept.size()) >= kMaxValues) break;
    kept[name] = value;
  }
  MoveStage(draft, record, stage, v1::STAGE_STATE_SUCCEEDED, "");
  draft.AddEvent(record, "info", id, absl::StrCat(Quoted(record, stage), " succeeded"));
}

// "precision=bf16 threads=2 ..." -> "bf16".
std::string PrecisionIn(absl::string_view numeric_class) {
  if (!absl::ConsumePrefix(&numeric_class, "precision=")) return "";
  return Shortened(numeric_class.substr(0, numeric_class.find(' ')), kMaxNoteBytes);
}

std::string FromWhere(const JobRecord& record, int stage) {
  const v1::CheckpointInfo* checkpoint = ResumePoint(record, stage);
  return checkpoint == nullptr ? "from the start" : absl::StrCat("from step ", checkpoint->step());
}

// It left because it was asked to, or because its agent is going away.
void HandleStopped(Draft& draft, JobRecord& record, int stage, const LeaseRecord& lease,
                   absl::string_view message) {
  if (record.intent() == JobRecord::INTENT_CANCEL || IsFailing(record)) {
    return Requeue(draft, record, stage, "stopped", absl::ZeroDuration());  // Settle cancels it
  }
  const std::string from = FromWhere(record, stage);
  if (lease.stopping()) {
    return Requeue(draft, record, stage, absl::StrCat("stopped; continues ", from), absl::ZeroDuration());
  }
  const std::string why = absl::StrCat("agent ", lease.agent(), " stopped it", message.empty() ? "" : " (",
                                       message, message.empty() ? "" : ")", "; it continues ", from);
  draft.AddEvent(record, "warning", record.stages(stage).id(), why);
  Requeue(draft, record, stage, why, kStoppedBackoff);
}

// The agents may be others by now: it is planned anew before its next lease.
void ForgetPlan(v1::Stage& spec, StageRecord& stage) {
  if (stage.chose_layers()) spec.mutable_train()->clear_checkpointed_layers();
  stage.clear_chose_layers();
  stage.clear_planned();
  stage.clear_planned_fp32_bytes();
  stage.clear_planned_bf16_bytes();
}

// A failed job goes on: rows are prepared again (an ended job lets go of its own), stages continue from their
// checkpoints.
absl::Status Reopen(Draft& draft, JobRecord& record) {
  v1::Job& job = *record.mutable_job();
  const std::string& code = job.error().code();
  for (const absl::StatusCode fault : {absl::StatusCode::kInvalidArgument, absl::StatusCode::kOutOfRange,
                                       absl::StatusCode::kUnimplemented}) {
    if (code != absl::StatusCodeToString(fault)) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        job.name(),
        ": it failed because of what it asks for and would again; correct the job and submit it: ",
        job.error().message()));
  }
  record.set_intent(JobRecord::INTENT_RUN);
  job.clear_error();
  job.clear_end_time();
  for (int i = 0; i < record.stages_size(); ++i) {
    if (StatusOf(record, i).state() == v1::STAGE_STATE_SUCCEEDED) continue;
    StageRecord& stage = *record.mutable_stages(i);
    stage.clear_prepared();
    stage.clear_last_error();
    stage.clear_last_error_step();
    stage.set_attempts_without_progress(0);
    ForgetPlan(*job.mutable_spec()->mutable_stages(i), stage);
    StatusOf(record, i).clear_end_time();
    if (HasData(job.spec().stages(i))) {
      MoveStage(draft, record, i, v1::STAGE_STATE_PREPARING, "its data is to be prepared");
    } else {
      MoveStage(draft, record, i, v1::STAGE_STATE_WAITING, "waits for the data of other stages");
    }
    BeginWaiting(draft, stage, absl::ZeroDuration());
  }
  MoveJob(draft, record, v1::JOB_STATE_VALIDATING, "resumed by its owner; its data is being prepared",
          "info");
  Settle(draft, record);
  return absl::OkStatus();
}

// Stopped, but not because it was asked to.
bool IsHindered(const v1::TaskFinished& finished) {
  const auto code = static_cast<absl::StatusCode>(finished.code());
  return finished.stopped() && code != absl::StatusCode::kOk && code != absl::StatusCode::kCancelled;
}

}  // namespace

v1::ServerMessage StopMessage(absl::string_view lease, absl::string_view reason) {
  v1::ServerMessage message;
  message.mutable_stop()->set_lease(std::string(lease));
  message.mutable_stop()->set_reason(Shortened(reason, kMaxNoteBytes));
  return message;
}

v1::ServerMessage CancelMessage(absl::string_view lease, absl::string_view reason) {
  v1::ServerMessage message;
  message.mutable_cancel()->set_lease(std::string(lease));
  message.mutable_cancel()->set_reason(Shortened(reason, kMaxNoteBytes));
  return message;
}

v1::ServerMessage CommitMessage(absl::string_view lease) {
  v1::ServerMessage message;
  message.mutable_commit()->set_lease(std::string(lease));
  return message;
}

v1::ServerMessage AckMessage(absl::string_view lease, int64_t sequence) {
  v1::ServerMessage message;
  message.mutable_ack()->set_lease(std::string(lease));
  message.mutable_ack()->set_sequence(sequence);
  return message;
}

JobRecord& BeginJob(Draft& draft, const std::string& id, const std::string& tenant,
                    absl::string_view request_id, Validated validated) {
  JobRecord record;
  record.set_id(id);
  record.set_tenant(tenant);
  record.set_order(draft.NextOrder());
  record.set_request_id(std::string(request_id));
  v1::Job& job = *record.mutable_job();
  job.set_name(absl::StrCat("jobs/", id));
  *job.mutable_spec() = std::move(validated.spec);
  job.set_state(v1::JOB_STATE_VALIDATING);
  job.set_state_reason("its data is being prepared");
  *job.mutable_create_time() = ToTimestamp(draft.now());
  for (int i = 0; i < job.spec().stages_size(); ++i) {
    v1::StageStatus& status = *job.add_stages();
    status.set_id(job.spec().stages(i).id());
    status.set_kind(KindOf(job.spec().stages(i)));
    const bool prepares = HasData(job.spec().stages(i));
    status.set_state(prepares ? v1::STAGE_STATE_PREPARING : v1::STAGE_STATE_WAITING);
    status.set_reason(prepares ? "its data is to be prepared" : "waits for the data of other stages");
    *record.add_stages() = std::move(validated.stages[i]);
  }
  for (int i = 0; i < record.stages_size(); ++i) {
    StageRecord& stage = *record.mutable_stages(i);
    if (!HasData(record.job().spec().stages(i))) continue;
    stage.set_prepare_digest(Sha256Hex(CanonicalBytes(PrepareTaskOf(record, i))));
    BeginWaiting(draft, stage, absl::ZeroDuration());
  }
  JobRecord& added = draft.Add(std::move(record));
  draft.AddEvent(
      added, "info", "",
      absl::StrCat("job accepted with ", Counted(job.spec().stages_size(), "stage"),
                   AnyStage(added, v1::STAGE_STATE_PREPARING) ? "; its data is being prepared" : ""));
  Settle(draft, added);
  return added;
}

absl::Status AskFor(Draft& draft, JobRecord& record, JobRecord::Intent intent) {
  const v1::JobState state = record.job().state();
  if (state == v1::JOB_STATE_FAILED && intent == JobRecord::INTENT_RUN) return Reopen(draft, record);
  if (state == v1::JOB_STATE_CANCELLED && intent == JobRecord::INTENT_CANCEL) return absl::OkStatus();
  if (HasEnded(state)) {
    return absl::FailedPreconditionError(
        absl::StrCat(record.job().name(), ": it has ended already (", NameOf(state), ")"));
  }
  if (record.intent() == intent) return absl::OkStatus();
  if (record.intent() == JobRecord::INTENT_CANCEL) {
    return absl::FailedPreconditionError(absl::StrCat(record.job().name(), ": it is being cancelled"));
  }
  if (IsFailing(record) && intent != JobRecord::INTENT_CANCEL) {
    return absl::FailedPreconditionError(
        absl::StrCat(record.job().name(), ": it has failed and is being stopped"));
  }
  record.set_intent(intent);
  if (intent == JobRecord::INTENT_RUN) draft.AddEvent(record, "info", "", "resumed by its owner");
  draft.Reschedule();
  Settle(draft, record);
  return absl::OkStatus();
}

void GrantLease(Draft& draft, JobRecord& record, int stage, const LeaseRecord& lease) {
  VN_CHECK(WaitsForPlace(record, stage));
  *record.mutable_stages(stage)->mutable_lease() = lease;
  if (!lease.prepare_task()) {
    MoveStage(draft, record, stage, v1::STAGE_STATE_STARTING,
              absl::StrCat("starting on agent ", lease.agent(), " device ", lease.device(), " with ",
                           Counted(lease.threads(), "thread")));
  }
  draft.Reschedule();
  Settle(draft, record);
}

void CommitLease(Draft& draft, JobRecord& record, int stage) {
  StageRecord& stage_record = *record.mutable_stages(stage);
  LeaseRecord& lease = *stage_record.mutable_lease();
  VN_CHECK(!lease.committed());
  lease.set_committed(true);
  v1::StageStatus& status = StatusOf(record, stage);
  if (lease.prepare_task()) {
    stage_record.set_prepare_attempts(stage_record.prepare_attempts() + 1);
    draft.AddEvent(record, "info", stage_record.id(),
                   absl::StrCat("preparing its data on agent ", lease.agent()));
    status.set_reason(absl::StrCat("its data is being prepared on agent ", lease.agent()));
  } else {
    status.set_attempts(status.attempts() + 1);
    draft.AddEvent(
        record, "info", stage_record.id(),
        absl::StrCat(status.reason(), ", attempt ", status.attempts(), ", ", FromWhere(record, stage)));
  }
  draft.Tell(lease.agent(), CommitMessage(lease.lease()));
  Settle(draft, record);
}

void WithdrawLease(Draft& draft, JobRecord& record, int stage, absl::string_view reason,
                   absl::Duration backoff) {
  StageRecord& stage_record = *record.mutable_stages(stage);
  VN_CHECK(stage_record.has_lease() && !stage_record.lease().committed());
  draft.Tell(stage_record.lease().agent(), CancelMessage(stage_record.lease().lease(), reason));
  draft.AddEvent(record, "warning", stage_record.id(), absl::StrCat("not started: ", reason));
  stage_record.clear_lease();
  Requeue(draft, record, stage, reason, backoff);
  Settle(draft, record);
}

void GiveUpStopping(Draft& draft, JobRecord& record, int stage) {
  LeaseRecord& lease = *record.mutable_stages(stage)->mutable_lease();
  if (lease.cancelling()) return;
  lease.set_cancelling(true);
  constexpr absl::string_view kWhy = "it did not stop in time and is killed; its newest checkpoint stays";
  draft.AddEvent(record, "warning", record.stages(stage).id(), kWhy);
  draft.Tell(lease.agent(), CancelMessage(lease.lease(), kWhy));
}

absl::Status ApplyTaskEvent(Draft& draft, JobRecord& record, int stage, const v1::TaskEvent& event) {
  StageRecord& stage_record = *record.mutable_stages(stage);
  const bool prepares = stage_record.lease().prepare_task();
  v1::StageStatus& status = StatusOf(record, stage);
  switch (event.event_case()) {
    case v1::TaskEvent::kStarted: {
      if (prepares) return absl::OkStatus();
      stage_record.set_ran_agent(stage_record.lease().agent());
      stage_record.set_ran_device(stage_record.lease().device());
      stage_record.set_ran_precision(PrecisionIn(event.started().numeric_class()));
      for (const std::string& note :
           {event.started().note(), event.started().numeric_class().empty()
                                        ? std::string()
                                        : absl::StrCat("numeric class: ", event.started().numeric_class())}) {
        const std::string kept = Shortened(note, kMaxNoteBytes);
        if (note.empty() || status.notes_size() >= kMaxNotes || absl::c_linear_search(status.notes(), kept))
          continue;
        status.add_notes(kept);
        draft.AddEvent(record, "info", stage_record.id(), kept);
      }
      if (status.state() == v1::STAGE_STATE_STARTING) {
        MoveStage(draft, record, stage, v1::STAGE_STATE_RUNNING,
                  absl::StrCat("runs on agent ", stage_record.lease().agent(), " device ",
                               stage_record.lease().device()));
        Settle(draft, record);
      }
      return absl::OkStatus();
    }
    case v1::TaskEvent::kCheckpoint:
      if (prepares) break;
      return RecordCheckpoint(draft, record, stage, event.checkpoint());
    case v1::TaskEvent::kArtifact:
      if (prepares) break;
      return RecordArtifact(draft, record, stage, event.artifact());
    case v1::TaskEvent::kLog: {
      const std::string& level = event.log().level();
      draft.AddEvent(record, level == "warning" || level == "error" ? level : "info", stage_record.id(),
                     event.log().message());
      return absl::OkStatus();
    }
    case v1::TaskEvent::kPrepared:
      if (!prepares || event.prepared().key().empty()) break;
      KeepPrepared(draft, record, stage, event.prepared(), false);
      return absl::OkStatus();
    default:
      break;
  }
  return absl::InvalidArgumentError(absl::StrCat("a task that ", prepares ? "prepares data" : "runs a stage",
                                                 " does not send event ",
                                                 static_cast<int>(event.event_case())));
}

scheduler::AttemptEnd EndOf(const v1::TaskFinished& finished) {
  scheduler::AttemptEnd end{.code = static_cast<absl::StatusCode>(finished.code()),
                            .message = Shortened(finished.message(), kMaxReasonBytes),
                            .cause = scheduler::Cause::kRaised,
                            .stopped = finished.stopped() && !IsHindered(finished),
                            .hindered = IsHindered(finished),
                            .step = finished.step()};
  if (finished.cause() == v1::TaskFinished::CAUSE_KILLED ||
      finished.cause() == v1::TaskFinished::CAUSE_LEASE_LOST) {
    end.cause = scheduler::Cause::kLost;
  }
  if (end.message.empty() && (end.code != absl::StatusCode::kOk || end.cause == scheduler::Cause::kLost)) {
    end.message = end.cause == scheduler::Cause::kLost ? "it was killed" : absl::StatusCodeToString(end.code);
  }
  return end;
}

void EndLease(Draft& draft, JobRecord& record, int stage, const scheduler::AttemptEnd& end,
              const std::map<std::string, double>& results) {
  StageRecord& stage_record = *record.mutable_stages(stage);
  VN_CHECK(stage_record.has_lease());
  const LeaseRecord lease = stage_record.lease();
  stage_record.clear_lease();
  draft.Reschedule();
  if (!lease.prepare_task()) {
    const std::string folder = storage::StageFolder(record.tenant(), record.id(), stage_record.id());
    draft.Then(WriteMetrics{record.job().name(), stage_record.id(),
                            storage::MetricsObject(folder, lease.token(), lease.incarnation())});
  }
  // What is lost or cancelled while we wait for it to stop has stopped; and where nobody wants the result any
  // more, an error is only told.
  const bool good = end.cause == scheduler::Cause::kRaised && end.code == absl::StatusCode::kOk;
  const bool unwanted = record.intent() == JobRecord::INTENT_CANCEL || IsFailing(record);
  const bool stopped = end.stopped || (!good && unwanted) ||
                       (lease.stopping() &&
                        (end.cause == scheduler::Cause::kLost || end.code == absl::StatusCode::kCancelled));
  if (!end.stopped && !good && unwanted) {
    draft.AddEvent(record, "warning", stage_record.id(),
                   absl::StrCat("while it was being stopped: ", end.message));
  }
  scheduler::AttemptEnd counted = end;
  counted.stopped = stopped;
  scheduler::RetryDecision decision =
      scheduler::DecideRetry(counted, {.attempts_without_progress = stage_record.attempts_without_progress(),
                                       .progressed = lease.progressed(),
                                       .max_attempts = record.job().spec().max_attempts(),
                                       .last_error = stage_record.last_error(),
                                       .last_error_step = stage_record.last_error_step()});
  if (lease.prepare_task() && decision.action == NextAction::kRetryFromPreviousCheckpoint) {
    // It has no checkpoint: what it reads is damaged, and stays so until somebody mends it.
    decision = {.action = NextAction::kFail, .reason = end.message};
  }
  if (decision.counts)
    stage_record.set_attempts_without_progress(stage_record.attempts_without_progress() + 1);
  if (!stopped && !good && !end.hindered && end.cause == scheduler::Cause::kRaised) {
    stage_record.set_last_error(end.message);
    stage_record.set_last_error_step(end.step);
  }
  switch (decision.action) {
    case NextAction::kSucceed:
      Succeed(draft, record, stage, lease, results);
      break;
    case NextAction::kStopped:
      HandleStopped(draft, record, stage, lease, end.message);
      break;
    case NextAction::kRetryFromPreviousCheckpoint:
      // Only what it read can be at fault.
      if (!lease.resume_key().empty() && !lease.progressed()) stage_record.add_damaged(lease.resume_key());
      [[fallthrough]];
    case NextAction::kRetry: {
      const std::string why = absl::StrCat(decision.reason, ", ", FromWhere(record, stage));
      draft.AddEvent(record, "warning", stage_record.id(), why);
      Requeue(draft, record, stage, why, decision.backoff);
      break;
    }
    case NextAction::kFail:
      Fail(draft, record, stage, end.code == absl::StatusCode::kOk ? absl::StatusCode::kAborted : end.code,
           decision.reason);
      break;
  }
  Settle(draft, record);
}

void FailStage(Draft& draft, JobRecord& record, int stage, const absl::Status& why) {
  Fail(draft, record, stage, why.code(), why.message());
  Settle(draft, record);
}

bool WaitsForPlace(const JobRecord& record, int stage) {
  if (record.intent() != JobRecord::INTENT_RUN || HasEnded(record.job().state()) || IsFailing(record))
    return false;
  const StageRecord& stage_record = record.stages(stage);
  if (stage_record.has_lease()) return false;
  const v1::StageState state = StatusOf(record, stage).state();
  if (state == v1::STAGE_STATE_QUEUED) return true;
  if (state != v1::STAGE_STATE_PREPARING) return false;
  // The first of several stages with the same rows prepares them for all.
  for (int i = 0; i < stage; ++i) {
    if (StatusOf(record, i).state() == v1::STAGE_STATE_PREPARING &&
        record.stages(i).prepare_digest() == stage_record.prepare_digest()) {
      return false;
    }
  }
  return true;
}

}  // namespace vernier::server
