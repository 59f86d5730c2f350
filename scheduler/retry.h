// How an attempt ended -> what happens next: STYLE section 5 and law 4 as a table.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace vernier::scheduler {

enum class Cause {
  kRaised,  // the task said so itself
  kLost,    // a signal from outside, a lost node, a lapsed lease: infrastructure
};

struct AttemptEnd {
  absl::StatusCode code = absl::StatusCode::kOk;
  std::string message;
  Cause cause = Cause::kRaised;
  bool stopped = false;  // it obeyed a stop: its state is in the newest checkpoint
  // The world kept it from going on (a full disk), not the task itself: it waits for an operator, and no
  // attempt is lost.
  bool hindered = false;
  int64_t step = 0;  // last finished step
};

// What is known of the stage before this end is counted.
struct AttemptHistory {
  int attempts_without_progress = 0;  // ended attempts since the newest checkpoint
  bool progressed = false;            // this attempt committed a checkpoint
  int max_attempts = 3;
  std::string last_error;  // raised by the attempt before, "" = none
  int64_t last_error_step = -1;
};

enum class NextAction { kSucceed, kStopped, kRetry, kRetryFromPreviousCheckpoint, kFail };

struct RetryDecision {
  NextAction action = NextAction::kFail;
  absl::Duration backoff = absl::ZeroDuration();
  bool counts = false;  // towards max_attempts
  std::string reason;   // for the user
};

// Pure.
RetryDecision DecideRetry(const AttemptEnd& end, const AttemptHistory& history);

}  // namespace vernier::scheduler
