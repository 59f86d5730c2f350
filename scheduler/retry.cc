#include "scheduler/retry.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace vernier::scheduler {
namespace {

struct CodeRule {
  absl::StatusCode code;
  NextAction action;
  absl::Duration backoff;
};

// What a *raised* error leads to the first time. Codes that are not listed fail.
const CodeRule kRaisedRules[] = {
    {absl::StatusCode::kResourceExhausted, NextAction::kRetry, absl::Seconds(5)},
    {absl::StatusCode::kUnavailable, NextAction::kRetry, absl::Seconds(2)},
    {absl::StatusCode::kAborted, NextAction::kRetry, absl::ZeroDuration()},
    {absl::StatusCode::kDeadlineExceeded, NextAction::kRetry, absl::Seconds(2)},
    {absl::StatusCode::kUnknown, NextAction::kRetry, absl::Seconds(1)},
    {absl::StatusCode::kDataLoss, NextAction::kRetryFromPreviousCheckpoint, absl::ZeroDuration()},
};

CodeRule RuleOf(absl::StatusCode code) {
  for (const CodeRule& rule : kRaisedRules) {
    if (rule.code == code) return rule;
  }
  return {code, NextAction::kFail, absl::ZeroDuration()};
}

// An operator needs minutes, a try costs a start and the steps up to the next checkpoint.
constexpr absl::Duration kHinderedBackoff = absl::Seconds(10);

RetryDecision WithAttempt(RetryDecision decision, const AttemptEnd& end, const AttemptHistory& history) {
  const int attempts =
      (history.progressed ? 0 : history.attempts_without_progress) + (history.progressed ? 0 : 1);
  decision.counts = !history.progressed;
  if (attempts >= history.max_attempts) {
    decision.action = NextAction::kFail;
    decision.reason = absl::StrCat(end.message, " (attempt ", attempts, " of ", history.max_attempts,
                                   " without a new checkpoint; raise max_attempts to try longer)");
    return decision;
  }
  decision.backoff =
      std::min<absl::Duration>(decision.backoff * (1 << std::min(attempts, 5)), absl::Minutes(1));
  return decision;
}

}  // namespace

RetryDecision DecideRetry(const AttemptEnd& end, const AttemptHistory& history) {
  if (end.stopped) return {.action = NextAction::kStopped, .reason = "stopped with a checkpoint"};
  if (end.cause == Cause::kRaised && end.code == absl::StatusCode::kOk) {
    return {.action = NextAction::kSucceed, .reason = "succeeded"};
  }
  if (end.hindered) {
    return {.action = NextAction::kRetry,
            .backoff = kHinderedBackoff,
            .reason = absl::StrCat(end.message, "; it waits for that and starts again")};
  }
  if (end.cause == Cause::kLost) {
    return WithAttempt(
        {.action = NextAction::kRetry, .reason = absl::StrCat(end.message, "; it starts again")}, end,
        history);
  }
  if (!history.last_error.empty() && history.last_error == end.message &&
      history.last_error_step == end.step) {
    return {.action = NextAction::kFail,
            .reason = absl::StrCat(end.message, " (twice at step ", end.step, ")")};
  }
  const CodeRule rule = RuleOf(end.code);
  if (rule.action == NextAction::kFail) return {.action = NextAction::kFail, .reason = end.message};
  return WithAttempt(
      {.action = rule.action,
       .backoff = rule.backoff,
       .reason = absl::StrCat(end.message, rule.action == NextAction::kRetryFromPreviousCheckpoint
                                               ? "; it starts again from the checkpoint before"
                                               : "; it starts again")},
      end, history);
}

}  // namespace vernier::scheduler
