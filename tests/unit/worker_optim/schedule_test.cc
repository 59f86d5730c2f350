#include "worker/optim/schedule.h"

#include <cmath>

#include "gtest/gtest.h"

namespace vernier::optim {
namespace {

TEST(ScheduleTest, WarmupRisesToOneThenLinearFallsToZero) {
  v1::Schedule schedule;
  schedule.mutable_linear();
  schedule.set_warmup_steps(4);
  EXPECT_DOUBLE_EQ(ScheduleFactor(schedule, 0, 14), 0.25);
  EXPECT_DOUBLE_EQ(ScheduleFactor(schedule, 3, 14), 1.0);
  EXPECT_DOUBLE_EQ(ScheduleFactor(schedule, 4, 14), 1.0);
  EXPECT_DOUBLE_EQ(ScheduleFactor(schedule, 9, 14), 0.5);
  EXPECT_DOUBLE_EQ(ScheduleFactor(schedule, 14, 14), 0.0);
}

TEST(ScheduleTest, WarmupRatioIsRoundedUp) {
  v1::Schedule schedule;
  schedule.set_warmup_ratio(0.1);
  EXPECT_EQ(WarmupSteps(schedule, 25), 3);
  schedule.set_warmup_ratio(0.07);
  EXPECT_EQ(WarmupSteps(schedule, 100), 7);  // 0.07 * 100 is a little above 7 in binary
}

TEST(ScheduleTest, CosineIsHalfwayInTheMiddleAndRespectsTheFloor) {
  v1::Schedule schedule;
  schedule.mutable_cosine()->set_min_ratio(0.2);
  EXPECT_NEAR(ScheduleFactor(schedule, 50, 100), 0.6, 1e-12);
  EXPECT_NEAR(ScheduleFactor(schedule, 100, 100), 0.2, 1e-12);
}

TEST(ScheduleTest, PolynomialUsesItsPower) {
  v1::Schedule schedule;
  schedule.mutable_polynomial()->set_power(2.0);
  EXPECT_NEAR(ScheduleFactor(schedule, 75, 100), 0.0625, 1e-12);
}

TEST(ScheduleTest, WsdStaysThenDecaysOverTheLastShare) {
  v1::Schedule schedule;
  schedule.mutable_wsd()->set_decay_ratio(0.2);
  EXPECT_DOUBLE_EQ(ScheduleFactor(schedule, 79, 100), 1.0);
  EXPECT_DOUBLE_EQ(ScheduleFactor(schedule, 90, 100), 0.5);
  EXPECT_DOUBLE_EQ(ScheduleFactor(schedule, 100, 100), 0.0);
}

TEST(ScheduleTest, ConstantStaysAtOne) {
  v1::Schedule schedule;
  schedule.mutable_constant();
  EXPECT_DOUBLE_EQ(ScheduleFactor(schedule, 99, 100), 1.0);
}

}  // namespace
}  // namespace vernier::optim
