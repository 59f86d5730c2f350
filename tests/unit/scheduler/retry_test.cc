#include "scheduler/retry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vernier::scheduler {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

struct RetryCase {
  std::string name;
  AttemptEnd end;
  AttemptHistory history;
  NextAction want;
  bool counts = false;
  absl::Duration backoff = absl::ZeroDuration();
  std::string reason;  // part of it
};

class RetryTest : public testing::TestWithParam<RetryCase> {};

TEST_P(RetryTest, SaysWhatHappensNext) {
  const RetryCase& test = GetParam();
  const RetryDecision got = DecideRetry(test.end, test.history);
  EXPECT_EQ(got.action, test.want) << got.reason;
  EXPECT_EQ(got.counts, test.counts) << got.reason;
  EXPECT_EQ(got.backoff, test.backoff) << got.reason;
  EXPECT_THAT(got.reason, HasSubstr(test.reason));
}

AttemptEnd Raised(StatusCode code, int64_t step = 0) {
  return {.code = code, .message = "it broke", .step = step};
}
const AttemptEnd kLost{.code = StatusCode::kAborted, .message = "agent a is gone", .cause = Cause::kLost};

INSTANTIATE_TEST_SUITE_P(
    Cases, RetryTest,
    testing::ValuesIn<RetryCase>({
        {"Success", {}, {}, NextAction::kSucceed},
        {"StoppedIsNotAnAttempt", {.stopped = true}, {.attempts_without_progress = 2}, NextAction::kStopped},
        {"StoppedCountsMoreThanTheCode",
         {.code = StatusCode::kCancelled, .stopped = true},
         {},
         NextAction::kStopped},
        {"AFullDiskIsWaitedForAndIsNoAttempt",
         {.code = StatusCode::kResourceExhausted, .message = "the disk is full", .hindered = true},
         {.attempts_without_progress = 9, .last_error = "the disk is full", .last_error_step = 0},
         NextAction::kRetry,
         false,
         absl::Seconds(10),
         "the disk is full; it waits for that and starts again"},
        {"InvalidArgumentIsNeverRetried",
         Raised(StatusCode::kInvalidArgument),
         {},
         NextAction::kFail,
         false,
         absl::ZeroDuration(),
         "it broke"},
        {"InternalIsNeverRetried", Raised(StatusCode::kInternal), {}, NextAction::kFail},
        {"NotFoundIsNeverRetried", Raised(StatusCode::kNotFound), {}, NextAction::kFail},
        {"FailedPreconditionIsNeverRetried", Raised(StatusCode::kFailedPrecondition), {}, NextAction::kFail},
        {"UnavailableIsRetriedLater",
         Raised(StatusCode::kUnavailable),
         {},
         NextAction::kRetry,
         true,
         absl::Seconds(4)},
        {"OutOfMemoryOnceIsRetried",
         Raised(StatusCode::kResourceExhausted),
         {},
         NextAction::kRetry,
         true,
         absl::Seconds(10)},
        {"DataLossGoesBackOneCheckpoint",
         Raised(StatusCode::kDataLoss),
         {},
         NextAction::kRetryFromPreviousCheckpoint,
         true,
         absl::ZeroDuration(),
         "from the checkpoint before"},
        {"TheSameErrorAtTheSameStepFails",
         Raised(StatusCode::kResourceExhausted, 7),
         {.last_error = "it broke", .last_error_step = 7},
         NextAction::kFail,
         false,
         absl::ZeroDuration(),
         "twice at step 7"},
        {"TheSameErrorAtAnotherStepDoesNot",
         Raised(StatusCode::kResourceExhausted, 8),
         {.last_error = "it broke", .last_error_step = 7},
         NextAction::kRetry,
         true,
         absl::Seconds(10)},
        {"AnotherErrorAtTheSameStepDoesNot",
         Raised(StatusCode::kAborted, 7),
         {.last_error = "something else", .last_error_step = 7},
         NextAction::kRetry,
         true},
        {"ALostAttemptStartsAgainAtOnce",
         kLost,
         {},
         NextAction::kRetry,
         true,
         absl::ZeroDuration(),
         "agent a is gone; it starts again"},
        {"ALostAttemptWithTheErrorOfTheLastDoesNotFail",
         kLost,
         {.last_error = "agent a is gone", .last_error_step = 0},
         NextAction::kRetry,
         true},
        {"TheLastAttemptFails",
         kLost,
         {.attempts_without_progress = 2},
         NextAction::kFail,
         true,
         absl::ZeroDuration(),
         "attempt 3 of 3 without a new checkpoint"},
        {"MaxAttemptsOfOneFailsAtOnce", kLost, {.max_attempts = 1}, NextAction::kFail, true},
        {"ProgressStartsTheCountAnew",
         kLost,
         {.attempts_without_progress = 2, .progressed = true},
         NextAction::kRetry,
         false},
        {"BackOffGrows",
         Raised(StatusCode::kUnavailable, 3),
         {.attempts_without_progress = 3, .max_attempts = 10},
         NextAction::kRetry,
         true,
         absl::Seconds(32)},
        {"BackOffIsBounded",
         Raised(StatusCode::kUnavailable, 3),
         {.attempts_without_progress = 80, .max_attempts = 100},
         NextAction::kRetry,
         true,
         absl::Minutes(1)},
    }),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vernier::scheduler
