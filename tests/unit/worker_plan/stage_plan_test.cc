#include "worker/plan/stage_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "tests/unit/worker_plan/smollm2.h"

namespace vernier::plan {
namespace {

using testing::Contains;
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

  // The same stage with the changes of its nearest plan, as a reader of them makes them.
  static v1::TrainStage Changed(v1::TrainStage stage, const v1::StagePlan& plan) {
    for (const std::string& change : plan.changes()) {
      const std::string lines = absl::StrReplaceAll(change, {{" with ", "\n"}, {" and ", "\n"}});
      for (const absl::string_view line : absl::StrSplit(lines, '\n')) {
        const std::pair<std::string, std::string> field = absl::StrSplit(line, absl::MaxSplits(": ", 1));
        const auto& [name, value] = field;
        int number = 0;
        const bool is_number = absl::SimpleAtoi(value, &number);
        if (name == "checkpointed_layers" && is_number) {
          stage.set_checkpointed_layers(number);
        } else if (name == "micro_batch_tokens" && is_number) {
          stage.set_micro_batch_tokens(number);
        } else if (name == "virtual_shards" && is_number) {
          stage.set_virtual_shards(number);
        } else if (name == "data.max_tokens" && is_number) {
          stage.mutable_data()->set_max_tokens(number);
        } else if (line == "data.on_overlong: truncate") {
          stage.mutable_data()->set_on_overlong(v1::ON_OVERLONG_TRUNCATE);
        } else if (line == "precision: bf16") {
          stage.set_precision(v1::PRECISION_BF16);
        } else if (line == "tuning: {lora: {}}") {
          stage.mutable_tuning()->mutable_lora();
        } else {
          ADD_FAILURE() << "what to make of \"" << line << "\"?";
        }
      }
    }
    return stage;
  }

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
  const v1::TrainStage stage = Stage("precision: PRECISION_FP32");
  v1::TrainStage least = stage;
  least.set_checkpointed_layers(30);
  const int64_t fp32 = Plan(least, {24000}).peak_bytes() / kMiB;
  EXPECT_THAT(Plan(stage, {fp32 - 1}).changes(), Contains("precision: bf16"));
  bf16_ = false;
  EXPECT_THAT(Plan(stage, {fp32 - 1}).changes(), testing::Not(Contains("precision: bf16")));
}

TEST_F(StagePlanTest, TheNearestPlanFitsWhereTheStageDidNot) {
  struct Case {
    const char* stage;
    int64_t memory_mib, tokens;
  };
  for (const Case& tried :
       {Case{"checkpointed_layers: 0", 1100, 2048}, Case{"tuning { full { } }", 4000, 2048},
        Case{"", 1000, 8192},
        Case{"micro_batch_tokens: 65536 virtual_shards: 1 batch { rows: 64 }", 1000, 256},
        Case{"precision: PRECISION_FP32", 1300, 2048}, Case{"tuning { full { } }", 1000, 8192}}) {
    const v1::TrainStage stage = Stage(tried.stage);
    const v1::StagePlan refused = Plan(stage, {tried.memory_mib}, tried.tokens);
    ASSERT_FALSE(refused.changes().empty()) << tried.stage << ": " << refused.problem();
    const v1::StagePlan again = Plan(Changed(stage, refused), {tried.memory_mib}, tried.tokens);
    EXPECT_TRUE(again.devices(0).fits()) << absl::StrJoin(refused.changes(), ", ") << ": " << again.problem();
  }
}

TEST_F(StagePlanTest, NothingHelpsOnAMachineThatIsTooSmall) {
  const v1::StagePlan plan = Plan(Stage(), {100});
  EXPECT_THAT(plan.problem(), HasSubstr("no setting makes it fit"));
  EXPECT_THAT(plan.changes(), IsEmpty());
}

TEST_F(StagePlanTest, AShapeThatAnOlderImportStoredUnsoundHasNoPlan) {
  v1::ModelShape shape = SmolLm2();
  shape.set_head_dim(0);
  shape.add_norms("q_norm");
  const auto plan =
      PlanTrain({.shape = shape, .stage = Stage()}, {}, [](const auto&...) { return std::nullopt; });
  EXPECT_TRUE(absl::IsInvalidArgument(plan.status())) << plan.status();
}

TEST_F(StagePlanTest, NoSmallerNumberOfLayersWouldDo) {
  // The first checkpointed layers cost more than they save, so what fits is no range of numbers.
  std::vector<int64_t> peaks;
  for (int count = 0; count <= 30; ++count) {
    v1::TrainStage stage = Stage();
    stage.set_checkpointed_layers(count);
    peaks.push_back(Plan(stage, {24000}).peak_bytes());
  }
  for (const int64_t peak : peaks) {
    const int64_t memory_mib = static_cast<int64_t>(static_cast<double>(peak) / 0.9) / kMiB + 1;
    const double comfortable = 0.9 * static_cast<double>(memory_mib * kMiB);
    const auto fits = [&](int64_t other) { return static_cast<double>(other) <= comfortable; };
    EXPECT_EQ(Plan(Stage(), {memory_mib}).checkpointed_layers(), absl::c_find_if(peaks, fits) - peaks.begin())
        << memory_mib;
  }
}

TEST_F(StagePlanTest, MemoryThatIsNotToldFitsAnything) {
  const v1::StagePlan plan = Plan(Stage("tuning { full { } }"), {0});
  EXPECT_TRUE(plan.devices(0).fits());
  EXPECT_EQ(plan.problem(), "");
}

TEST_F(StagePlanTest, TimeIsUnknownUntilSomethingWasMeasured) {
  const v1::StagePlan plan = Plan(Stage(), {24000});
  EXPECT_EQ(plan.devices(0).seconds(), 0);
  EXPECT_EQ(plan.devices(0).rate_basis(), "unknown until a first job has run there in bf16");
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
