#include "worker/plan/work.h"

#include <gtest/gtest.h>

#include "tests/unit/worker_plan/smollm2.h"

namespace vernier::plan {
namespace {

Batches Rows(int64_t tokens, double labelled) {
  Batches batches;
  batches.rows = 16;
  batches.steps = 1;
  batches.tokens = 16 * tokens;
  batches.squared_tokens = 16.0 * static_cast<double>(tokens * tokens);
  batches.labelled_share = labelled;
  return batches;
}

double PerToken(const std::string& stage, int64_t tokens, double labelled, int64_t checkpointed = 0) {
  return TrainingFlops(SmolLm2(), Stage(stage), Rows(tokens, labelled), checkpointed) /
         static_cast<double>(16 * tokens);
}

TEST(WorkTest, SmolLm2TakesAboutSixHundredMillionATokenWithAnAdapter) {
  // Body 4 x 106.2 M, head 4 x 28.3 M at labels, adapter 6 x 4.9 M, attention 7 x 160 x 576 x 30.
  EXPECT_NEAR(PerToken("", 160, 1.0), 424.7e6 + 113.2e6 + 29.3e6 + 19.4e6, 1e6);
  EXPECT_NEAR(PerToken("", 160, 0.5), 424.7e6 + 56.6e6 + 29.3e6 + 19.4e6, 1e6);
}

TEST(WorkTest, FullTuningTakesHalfAsMuchAgain) {
  EXPECT_NEAR(PerToken("tuning { full { } }", 160, 1.0), 6 * (106.2e6 + 28.3e6) + 19.4e6, 1e6);
}

TEST(WorkTest, CheckpointedLayersAreComputedForwardTwice) {
  EXPECT_NEAR(PerToken("", 160, 1.0, 15) - PerToken("", 160, 1.0), 106.2e6 + 2.8e6, 1e6);
  EXPECT_EQ(PerToken("", 160, 1.0, 30), PerToken("", 160, 1.0, 1024));
}

TEST(WorkTest, ValidationsAreCountedAsTheLoopMakesThem) {
  Batches batches = Rows(100, 1.0);
  batches.steps = 40;
  EXPECT_EQ(NumValidations(Stage(), batches), 0) << "no rows to validate on";
  batches.validation_tokens = 500;
  EXPECT_EQ(NumValidations(Stage("validate { every_steps: 0 }"), batches), 2);
  EXPECT_EQ(NumValidations(Stage("validate { every_steps: 10 }"), batches), 5);
  EXPECT_EQ(NumValidations(Stage("validate { every_steps: 15 }"), batches), 4);
  EXPECT_EQ(NumValidations(Stage(), batches), 11) << "every tenth part";
}

}  // namespace
}  // namespace vernier::plan
