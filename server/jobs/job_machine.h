// The life of a job and its stages: every way in which a JobRecord changes.
//
//   stage   PREPARING -> WAITING -> QUEUED -> STARTING -> RUNNING -> SUCCEEDED | FAILED | CANCELLED
//           (its data)   (others)   (device)   (leased)
//   job     what its stages and the user's intent make of it (transitions.h)
//
// All rows are prepared before any stage takes a device: what is wrong with the data of the last stage is
// said before the first one trains. A stage holds at most one lease. `record` is one of `draft`; `stage` its
// index. Pure but for the draft.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "scheduler/retry.h"
#include "server/jobs/draft.h"
#include "server/jobs/record.pb.h"
#include "server/validate/validate.h"
#include "vernier/v1/task.pb.h"

namespace vernier::server {

// A new job, journalled.
JobRecord& BeginJob(Draft& draft, const std::string& id, const std::string& tenant,
                    absl::string_view request_id, Validated validated);

// What the user wants from now on. OK when it is so already. FailedPrecondition: too late. A job that failed
// can be resumed, unless what it asks for is at fault: the stages that succeeded keep what they made, the
// others go on from their checkpoints.
absl::Status AskFor(Draft& draft, JobRecord& record, JobRecord::Intent intent);

// Two-phase lease: granted (PrepareLease is on its way) -> committed, or withdrawn.
void GrantLease(Draft& draft, JobRecord& record, int stage, const LeaseRecord& lease);
void CommitLease(Draft& draft, JobRecord& record, int stage);
// Never committed: nothing ran. `reason` is a sentence; the stage waits `backoff` before the next try.
void WithdrawLease(Draft& draft, JobRecord& record, int stage, absl::string_view reason,
                   absl::Duration backoff);
// Not in time to obey StopLease: CancelLease follows.
void GiveUpStopping(Draft& draft, JobRecord& record, int stage);

// What a task says under its live lease, but for `finished`. InvalidArgument: it may not say that.
absl::Status ApplyTaskEvent(Draft& draft, JobRecord& record, int stage, const v1::TaskEvent& event);
// The lease is over.
void EndLease(Draft& draft, JobRecord& record, int stage, const scheduler::AttemptEnd& end,
              const std::map<std::string, double>& results = {});
// What `finished` means, as the retry table asks it.
scheduler::AttemptEnd EndOf(const v1::TaskFinished& finished);

// Cannot start: what it builds on is gone.
void FailStage(Draft& draft, JobRecord& record, int stage, const absl::Status& why);

// Whether the stage waits for a place: for side work to prepare its rows, or for a device.
bool WaitsForPlace(const JobRecord& record, int stage);

// Messages for agents.
v1::ServerMessage StopMessage(absl::string_view lease, absl::string_view reason);
v1::ServerMessage CancelMessage(absl::string_view lease, absl::string_view reason);
v1::ServerMessage CommitMessage(absl::string_view lease);
v1::ServerMessage AckMessage(absl::string_view lease, int64_t sequence);

}  // namespace vernier::server
