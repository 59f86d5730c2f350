#include "server/jobs/transitions.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"

namespace vernier::server {
namespace {

struct JobMove {
  v1::JobState from, to;
};

const JobMove kJobMoves[] = {
    {v1::JOB_STATE_VALIDATING, v1::JOB_STATE_QUEUED},  // its data is prepared
    {v1::JOB_STATE_VALIDATING, v1::JOB_STATE_PAUSING},
    {v1::JOB_STATE_VALIDATING, v1::JOB_STATE_PAUSED},
    {v1::JOB_STATE_VALIDATING, v1::JOB_STATE_CANCELLING},
    {v1::JOB_STATE_VALIDATING, v1::JOB_STATE_CANCELLED},
    {v1::JOB_STATE_VALIDATING, v1::JOB_STATE_FAILED},  // bad rows
    {v1::JOB_STATE_QUEUED, v1::JOB_STATE_STARTING},
    {v1::JOB_STATE_QUEUED, v1::JOB_STATE_PAUSED},
    {v1::JOB_STATE_QUEUED, v1::JOB_STATE_CANCELLED},
    {v1::JOB_STATE_QUEUED, v1::JOB_STATE_FAILED},  // what it builds on is gone
    {v1::JOB_STATE_STARTING, v1::JOB_STATE_RUNNING},
    {v1::JOB_STATE_STARTING, v1::JOB_STATE_QUEUED},  // the agent refused, or was lost
    {v1::JOB_STATE_STARTING, v1::JOB_STATE_PAUSING},
    {v1::JOB_STATE_STARTING, v1::JOB_STATE_PAUSED},
    {v1::JOB_STATE_STARTING, v1::JOB_STATE_CANCELLING},
    {v1::JOB_STATE_STARTING, v1::JOB_STATE_CANCELLED},
    {v1::JOB_STATE_STARTING, v1::JOB_STATE_SUCCEEDED},
    {v1::JOB_STATE_STARTING, v1::JOB_STATE_FAILED},
    {v1::JOB_STATE_RUNNING, v1::JOB_STATE_STARTING},  // of several stages
    {v1::JOB_STATE_RUNNING, v1::JOB_STATE_QUEUED},    // preempted, lost, or the next stage waits
    {v1::JOB_STATE_RUNNING, v1::JOB_STATE_PAUSING},
    {v1::JOB_STATE_RUNNING, v1::JOB_STATE_CANCELLING},
    {v1::JOB_STATE_RUNNING, v1::JOB_STATE_SUCCEEDED},
    {v1::JOB_STATE_RUNNING, v1::JOB_STATE_FAILED},
    {v1::JOB_STATE_PAUSING, v1::JOB_STATE_PAUSED},
    {v1::JOB_STATE_PAUSING, v1::JOB_STATE_VALIDATING},  // resumed before it had stopped
    {v1::JOB_STATE_PAUSING, v1::JOB_STATE_STARTING},
    {v1::JOB_STATE_PAUSING, v1::JOB_STATE_RUNNING},
    {v1::JOB_STATE_PAUSING, v1::JOB_STATE_CANCELLING},
    {v1::JOB_STATE_PAUSING, v1::JOB_STATE_SUCCEEDED},  // it was quicker
    {v1::JOB_STATE_PAUSING, v1::JOB_STATE_FAILED},
    {v1::JOB_STATE_PAUSED, v1::JOB_STATE_VALIDATING},
    {v1::JOB_STATE_PAUSED, v1::JOB_STATE_QUEUED},
    {v1::JOB_STATE_PAUSED, v1::JOB_STATE_CANCELLED},
    {v1::JOB_STATE_CANCELLING, v1::JOB_STATE_CANCELLED},
    {v1::JOB_STATE_CANCELLING, v1::JOB_STATE_SUCCEEDED},
    {v1::JOB_STATE_CANCELLING, v1::JOB_STATE_FAILED},
    {v1::JOB_STATE_FAILED, v1::JOB_STATE_VALIDATING},  // resumed, what it lacked is there
};

struct StageMove {
  v1::StageState from, to;
};

const StageMove kStageMoves[] = {
    {v1::STAGE_STATE_PREPARING, v1::STAGE_STATE_WAITING},
    {v1::STAGE_STATE_PREPARING, v1::STAGE_STATE_FAILED},
    {v1::STAGE_STATE_PREPARING, v1::STAGE_STATE_CANCELLED},
    {v1::STAGE_STATE_WAITING, v1::STAGE_STATE_QUEUED},
    {v1::STAGE_STATE_WAITING, v1::STAGE_STATE_CANCELLED},
    {v1::STAGE_STATE_QUEUED, v1::STAGE_STATE_STARTING},
    {v1::STAGE_STATE_QUEUED, v1::STAGE_STATE_FAILED},
    {v1::STAGE_STATE_QUEUED, v1::STAGE_STATE_CANCELLED},
    {v1::STAGE_STATE_STARTING, v1::STAGE_STATE_RUNNING},
    {v1::STAGE_STATE_STARTING, v1::STAGE_STATE_QUEUED},
    {v1::STAGE_STATE_STARTING, v1::STAGE_STATE_SUCCEEDED},
    {v1::STAGE_STATE_STARTING, v1::STAGE_STATE_FAILED},
    {v1::STAGE_STATE_STARTING, v1::STAGE_STATE_CANCELLED},
    {v1::STAGE_STATE_RUNNING, v1::STAGE_STATE_QUEUED},
    {v1::STAGE_STATE_RUNNING, v1::STAGE_STATE_SUCCEEDED},
    {v1::STAGE_STATE_RUNNING, v1::STAGE_STATE_FAILED},
    {v1::STAGE_STATE_RUNNING, v1::STAGE_STATE_CANCELLED},
    {v1::STAGE_STATE_FAILED, v1::STAGE_STATE_PREPARING},  // with its job
    {v1::STAGE_STATE_CANCELLED, v1::STAGE_STATE_PREPARING},
    {v1::STAGE_STATE_FAILED, v1::STAGE_STATE_WAITING},  // those without data
    {v1::STAGE_STATE_CANCELLED, v1::STAGE_STATE_WAITING},
};

}  // namespace

bool CanFollow(v1::JobState from, v1::JobState to) {
  return std::any_of(std::begin(kJobMoves), std::end(kJobMoves),
                     [&](const JobMove& move) { return move.from == from && move.to == to; });
}

bool CanFollow(v1::StageState from, v1::StageState to) {
  return std::any_of(std::begin(kStageMoves), std::end(kStageMoves),
                     [&](const StageMove& move) { return move.from == from && move.to == to; });
}

bool HasEnded(v1::JobState state) {
  return state == v1::JOB_STATE_SUCCEEDED || state == v1::JOB_STATE_FAILED ||
         state == v1::JOB_STATE_CANCELLED;
}

bool HasEnded(v1::StageState state) {
  return state == v1::STAGE_STATE_SUCCEEDED || state == v1::STAGE_STATE_FAILED ||
         state == v1::STAGE_STATE_CANCELLED;
}

std::string NameOf(v1::JobState state) {
  return absl::AsciiStrToLower(absl::StripPrefix(v1::JobState_Name(state), "JOB_STATE_"));
}

}  // namespace vernier::server
