#include "server/jobs/transitions.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace vernier::server {
namespace {

template <typename State>
std::vector<State> AllStates();
template <>
std::vector<v1::JobState> AllStates() {
  std::vector<v1::JobState> all;
  for (int i = 1; i < v1::JobState_ARRAYSIZE; ++i) all.push_back(static_cast<v1::JobState>(i));
  return all;
}
template <>
std::vector<v1::StageState> AllStates() {
  std::vector<v1::StageState> all;
  for (int i = 1; i < v1::StageState_ARRAYSIZE; ++i) all.push_back(static_cast<v1::StageState>(i));
  return all;
}

// `resumable`: the ends that a resume leaves, for one of `resumed` alone.
template <typename State>
void CheckTable(State first, const std::set<State>& resumable, const std::set<State>& resumed) {
  std::set<State> reached = {first};
  for (bool grew = true; grew;) {
    grew = false;
    for (const State from : AllStates<State>()) {
      for (const State to : AllStates<State>()) {
        if (reached.contains(from) && CanFollow(from, to)) grew = reached.insert(to).second || grew;
      }
    }
  }
  for (const State state : AllStates<State>()) {
    EXPECT_TRUE(reached.contains(state)) << state << " is never reached";
    EXPECT_FALSE(CanFollow(state, state)) << state;
    bool leaves = false;
    for (const State to : AllStates<State>()) leaves = leaves || CanFollow(state, to);
    EXPECT_EQ(leaves, !HasEnded(state) || resumable.contains(state)) << state;
    if (!HasEnded(state)) continue;
    for (const State to : AllStates<State>()) {
      EXPECT_EQ(CanFollow(state, to), resumable.contains(state) && resumed.contains(to))
          << state << " " << to;
    }
  }
}

TEST(TransitionsTest, EveryJobStateIsReachedAndOnlyAResumeLeavesAnEnd) {
  CheckTable<v1::JobState>(v1::JOB_STATE_VALIDATING, {v1::JOB_STATE_FAILED}, {v1::JOB_STATE_VALIDATING});
}

TEST(TransitionsTest, EveryStageStateIsReachedAndOnlyAResumeLeavesAnEnd) {
  CheckTable<v1::StageState>(v1::STAGE_STATE_PREPARING, {v1::STAGE_STATE_FAILED, v1::STAGE_STATE_CANCELLED},
                             {v1::STAGE_STATE_PREPARING, v1::STAGE_STATE_WAITING});
}

TEST(TransitionsTest, PausedJobsDoNotRunWithoutTheQueue) {
  EXPECT_FALSE(CanFollow(v1::JOB_STATE_PAUSED, v1::JOB_STATE_RUNNING));
  EXPECT_FALSE(CanFollow(v1::JOB_STATE_CANCELLING, v1::JOB_STATE_RUNNING));
}

TEST(TransitionsTest, NamesAreWordsForSentences) {
  EXPECT_EQ(NameOf(v1::JOB_STATE_CANCELLING), "cancelling");
}

}  // namespace
}  // namespace vernier::server
