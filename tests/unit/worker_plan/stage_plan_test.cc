#include "worker/plan/stage_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/worker_plan/smollm2.h"

namespace vernier::plan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kMiB = int64_t{1} << 20;

class StagePlanTest : public testing::Test {
 protected:
  // Of rows of `tokens` tokens on agents with so much memory.
  v1::StagePlan Plan(const v1::TrainStage& stage, std::vector<int64_t> memory_mib, int64_t tokens = 2048) {
    report_ = RowsOf(64, tokens);
    std::vector<Device> devices;
    for (const int64_t mib : memory_mib) {
      devices.push_back({.agent = std::string(1, static_cast<char>('a' + devices.size())),
                         .id = "cpu",
                         .memory_bytes = mib * kMiB,
                         .bf16 = bf16_});
    }
    auto plan = PlanTrain({.shape = SmolLm2(), .stage = stage, .report = &report_, .seed = 17}, devices,
                          [&](const Device&, bool bf16, bool) -> std::optional<Rate> {
                            if (rate_ == 0) return std::nullopt;
                            return Rate{bf16 ? 2 * rate_ : rate_, "jobs/x"};
                          });
    if (!plan.ok()) ADD_FAILURE() << plan.status();
    return *std::move(plan);
  }

  // The same stage with the changes of its nearest plan: must fit where it did not.
  v1::DataReport report_;
  bool bf16_ = true;
  double rate_ = 0;
};

TEST_F(StagePlanTest, NothingIsCheckpointedWhileEverythingFits) {
  const v1::StagePlan plan = Plan(Stage(), {24000});
  EXPECT_EQ(plan.checkpointed_layers(), 0);
  EXPECT_TRUE(plan.devices(0).fits());
  EXPECT_EQ(plan.problem(), "");
  EXPECT_EQ(plan.precision(), "bf16");
}

TEST_F(StagePlanTest, AsFewLayersAsNeededAreCheckpointed) {
  const int64_t whole = Plan(Stage(), {24000}).peak_bytes() / kMiB;
  const v1::StagePlan plan = Plan(Stage(), {whole});
  EXPECT_GT(plan.checkpointed_layers(), 0);
  EXPECT_LT(plan.checkpointed_layers(), 30);
  EXPECT_LE(plan.peak_bytes(), 0.9 * static_cast<double>(whole * kMiB));
  v1::TrainStage fewer = Stage();
  fewer.set_checkpointed_layers(plan.checkpointed_layers() - 1);
  EXPECT_GT(Plan(fewer, {whole}).peak_bytes(), 0.9 * static_cast<double>(whole * kMiB));
}

TEST_F(StagePlanTest, WhatTheStageAsksForIsKept) {
  EXPECT_EQ(Plan(Stage("checkpointed_layers: 7"), {24000}).checkpointed_layers(), 7);
  EXPECT_EQ(Plan(Stage("checkpointed_layers: 1000"), {24000}).checkpointed_layers(), 30);
  const v1::StagePlan plan = Plan(Stage("checkpointed_layers: 0"), {1100});
  EXPECT_THAT(plan.problem(), HasSubstr("checkpointed_layers: "));
}

TEST_F(StagePlanTest, TheDeviceThatNeedsNoCheckpointsIsShown) {
  const v1::StagePlan plan = Plan(Stage(), {1200, 24000});
  EXPECT_EQ(plan.checkpointed_layers(), 0);
  EXPECT_GT(plan.devices(0).checkpointed_layers(), 0);
}

TEST_F(StagePlanTest, AProblemNamesNeedAndHaveAndTheNearestPlan) {
  const v1::StagePlan plan = Plan(Stage("tuning { full { } }"), {4000});
  EXPECT_THAT(plan.problem(), HasSubstr("it needs "));
  EXPECT_THAT(plan.problem(), HasSubstr("and agent a has 3.9 GiB"));
  EXPECT_THAT(plan.problem(), HasSubstr("it fits with "));
  EXPECT_FALSE(plan.changes().empty());
}

TEST_F(StagePlanTest, ShorterRowsAreProposedWhenNothingMilderHelps) {
  const v1::StagePlan plan = Plan(Stage(), {1000}, /*tokens=*/8192);
  EXPECT_THAT(plan.problem(), HasSubstr("data.max_tokens: "));
  EXPECT_THAT(plan.problem(), HasSubstr("data.on_overlong: truncate"));
}

TEST_F(StagePlanTest, Bf16IsProposedWhereTheDeviceHasIt) {
  const v1::TrainStage stage = Stage("precision: PRECISION_FP32 micro_batch_tokens: 64");
  const int64_t fp32 = Plan(stage, {24000}, 64).peak_bytes() / kMiB;
  bf16_ = false;
  EXPECT_THAT(Plan(stage, {fp32 - 1}, 64).changes(), testing::Not(testing::Contains("precision: bf16")));
}

TEST_F(StagePlanTest, NothingHelpsOnAMachineThatIsTooSmall) {
  const v1::StagePlan plan = Plan(Stage(), {100});
  EXPECT_THAT(plan.problem(), HasSubstr("no setting makes it fit"));
  EXPECT_THAT(plan.changes(), IsEmpty());
}

TEST_F(StagePlanTest, MemoryThatIsNotToldFitsAnything) {
  const v1::StagePlan plan = Plan(Stage("tuning { full { } }"), {0});
  EXPECT_TRUE(plan.devices(0).fits());
  EXPECT_EQ(plan.problem(), "");
}

TEST_F(StagePlanTest, TimeIsUnknownUntilSomethingWasMeasured) {
  const v1::StagePlan plan = Plan(Stage(), {24000});
  EXPECT_EQ(plan.devices(0).seconds(), 0);
  EXPECT_EQ(plan.devices(0).rate_basis(), "unknown until a first job has run there");
}

TEST_F(StagePlanTest, TimeIsWorkOverTheMeasuredRate) {
  rate_ = 1e11;
  const v1::StagePlan plan = Plan(Stage(), {24000});
  EXPECT_NEAR(plan.devices(0).seconds(), plan.flops() / 2e11, 1e-6 * plan.devices(0).seconds());
  EXPECT_NEAR(plan.devices(0).tokens_per_second() * plan.devices(0).seconds(),
              static_cast<double>(plan.tokens()), 1.0);
  EXPECT_EQ(plan.devices(0).rate_basis(), "jobs/x");
}

TEST_F(StagePlanTest, WithoutAgentsThePlanIsToldAllTheSame) {
  const v1::StagePlan plan = Plan(Stage(), {});
  EXPECT_GT(plan.peak_bytes(), 0);
  EXPECT_THAT(plan.notes(), ElementsAre(HasSubstr("no agent is connected")));
}

}  // namespace
}  // namespace vernier::plan
