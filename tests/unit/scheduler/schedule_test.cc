#include "scheduler/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vernier::scheduler {
namespace {

using testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

ClusterView OneCpu() {
  return {.nodes = {{.agent = "a", .host = "a", .isa = "avx2", .devices = {{"cpu", "cpu", 2}}}}};
}

TEST(ScheduleTest, ADeviceIsGivenOnceAndToTheFirstInTheQueue) {
  ClusterView view = OneCpu();
  view.pending = {{.key = "late", .order = 9}, {.key = "early", .order = 3}};
  const std::vector<Decision> decisions = Schedule(kNow, view, {});
  ASSERT_EQ(decisions.size(), 2);
  EXPECT_EQ(decisions[0].key, "late");
  EXPECT_FALSE(decisions[0].placement);
  EXPECT_THAT(decisions[0].reason, HasSubstr("in use (early)"));
  EXPECT_TRUE(decisions[1].placement);
}

TEST(ScheduleTest, WhatIsInBackOffSaysWhenItIsTried) {
  ClusterView view = OneCpu();
  view.pending = {{.key = "x", .ready_at = kNow + absl::Milliseconds(4200)}};
  const std::vector<Decision> decisions = Schedule(kNow, view, {});
  ASSERT_EQ(decisions.size(), 1);
  EXPECT_FALSE(decisions[0].placement);
  EXPECT_EQ(decisions[0].reason, "retries in 5s");
}

TEST(ScheduleTest, ALaterOneThatFitsDoesNotWaitForAnEarlierThatDoesNot) {
  ClusterView view = OneCpu();
  view.pending = {{.key = "big", .order = 1, .threads = 64}, {.key = "small", .order = 2}};
  const std::vector<Decision> decisions = Schedule(kNow, view, {});
  EXPECT_FALSE(decisions[0].placement);
  EXPECT_TRUE(decisions[1].placement);
}

TEST(ScheduleTest, SideWorkPlacedInOnePassCountsForTheNext) {
  ClusterView view = OneCpu();
  for (int i = 0; i < 3; ++i) {
    view.pending.push_back(
        {.key = std::to_string(i), .order = static_cast<uint64_t>(i), .kind = WorkKind::kSide});
  }
  const std::vector<Decision> decisions = Schedule(kNow, view, {.side_slots = 2});
  EXPECT_TRUE(decisions[0].placement);
  EXPECT_TRUE(decisions[1].placement);
  EXPECT_FALSE(decisions[2].placement);
}

}  // namespace
}  // namespace vernier::scheduler
