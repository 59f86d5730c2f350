#include "worker/stages/train/cadence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace vernier::stages {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<int64_t> Validations(const Cadence& cadence) {
  std::vector<int64_t> steps;
  for (int64_t step = 0; step <= cadence.total_steps; ++step) {
    if (cadence.ValidationDue(step, step == cadence.total_steps)) steps.push_back(step);
  }
  return steps;
}

std::vector<int64_t> Checkpoints(const Cadence& cadence) {
  std::vector<int64_t> steps;
  for (int64_t step = 0; step <= cadence.total_steps; ++step) {
    if (cadence.CheckpointDue(step, step == cadence.total_steps)) steps.push_back(step);
  }
  return steps;
}

TEST(CadenceTest, ValidatesAtStepZeroEveryNAndAtTheEnd) {
  v1::TrainStage stage;
  stage.mutable_validate()->set_every_steps(3);
  EXPECT_THAT(Validations(*MakeCadence(stage, 7, true)), ElementsAre(0, 3, 6, 7));
  EXPECT_THAT(Validations(*MakeCadence(stage, 6, true)), ElementsAre(0, 3, 6));
  stage.mutable_validate()->set_every_steps(0);
  EXPECT_THAT(Validations(*MakeCadence(stage, 7, true)), ElementsAre(0, 7));
  EXPECT_THAT(Validations(*MakeCadence(stage, 7, false)), ElementsAre());
}

TEST(CadenceTest, ValidatesEveryTenthOfTheStepsByDefault) {
  EXPECT_EQ(MakeCadence({}, 200, true)->validate_every, 20);
  EXPECT_EQ(MakeCadence({}, 5, true)->validate_every, 1);
}

TEST(CadenceTest, CheckpointsEveryNAndAtTheEnd) {
  v1::TrainStage stage;
  stage.mutable_checkpoint()->set_every_steps(4);
  EXPECT_THAT(Checkpoints(*MakeCadence(stage, 9, false)), ElementsAre(4, 8, 9));
  EXPECT_THAT(Checkpoints(*MakeCadence(stage, 8, false)), ElementsAre(4, 8));
  stage.mutable_checkpoint()->set_every_steps(0);
  EXPECT_THAT(Checkpoints(*MakeCadence(stage, 9, false)), ElementsAre());
}

TEST(CadenceTest, PublishesTheBestWhereThereIsValidation) {
  v1::TrainStage stage;
  EXPECT_TRUE(MakeCadence(stage, 9, true)->publish_best);
  EXPECT_FALSE(MakeCadence(stage, 9, false)->publish_best);
  stage.set_publish(v1::PUBLISH_LAST);
  EXPECT_FALSE(MakeCadence(stage, 9, true)->publish_best);
}

TEST(CadenceTest, WhatNeedsValidationIsRefusedWithoutIt) {
  v1::TrainStage best;
  best.set_publish(v1::PUBLISH_BEST);
  const auto no_best = MakeCadence(best, 9, false);
  EXPECT_EQ(no_best.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(no_best.status().message(), HasSubstr("data.validation"));
  v1::TrainStage early;
  early.mutable_early_stopping();
  EXPECT_EQ(MakeCadence(early, 9, false).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(StopRuleTest, EndsAfterPatienceValidationsWithoutImprovement) {
  StopRule rule(EarlyStop{.patience = 2, .min_delta = 0.0});
  EXPECT_FALSE(rule.Observe(3.0));
  EXPECT_FALSE(rule.Observe(2.0));
  EXPECT_FALSE(rule.Observe(2.0));  // equal is no gain
  EXPECT_TRUE(rule.Observe(2.5));
}

TEST(StopRuleTest, AGainBelowMinDeltaIsNone) {
  StopRule rule(EarlyStop{.patience = 2, .min_delta = 0.5});
  EXPECT_FALSE(rule.Observe(3.0));
  EXPECT_FALSE(rule.Observe(2.8));
  EXPECT_TRUE(rule.Observe(2.6));
  StopRule moving(EarlyStop{.patience = 2, .min_delta = 0.5});
  EXPECT_FALSE(moving.Observe(3.0));
  EXPECT_FALSE(moving.Observe(2.8));
  EXPECT_FALSE(moving.Observe(2.4));  // against the best, not the one before
}

TEST(StopRuleTest, NeverEndsWithoutOptions) {
  StopRule rule(std::nullopt);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(rule.Observe(1.0));
}

}  // namespace
}  // namespace vernier::stages
