#include "worker/plan/memory.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "tests/unit/worker_plan/smollm2.h"

namespace vernier::plan {
namespace {

MemoryPlan Of(const v1::TrainStage& stage, bool bf16 = true, int64_t checkpointed = 0,
              int64_t tokens = 4096) {
  const v1::DataReport report = RowsOf(64, tokens);
  const auto batches = BatchesOf(&report, 0, stage, /*seed=*/17);
  if (!batches.ok()) ADD_FAILURE() << batches.status();
  return MemoryOf(SmolLm2(), stage, *batches, bf16, /*threads=*/1, checkpointed);
}

std::map<std::string, int64_t> Parts(const MemoryPlan& plan) {
  std::map<std::string, int64_t> parts;
  for (const v1::MemoryPart& part : plan.parts) parts[part.name()] = part.bytes();
  return parts;
}

TEST(MemoryTest, ThePartsAddUpToThePeak) {
  const MemoryPlan plan = Of(Stage());
  int64_t sum = 0;
  for (const v1::MemoryPart& part : plan.parts) {
    EXPECT_GT(part.bytes(), 0) << part.name();
    EXPECT_FALSE(part.detail().empty()) << part.name();
    sum += part.bytes();
  }
  EXPECT_EQ(sum, plan.peak_bytes);
  EXPECT_EQ(plan.phase, "training");
}

TEST(MemoryTest, WeightsAdapterAndMomentsAreCountedExactly) {
  const auto parts = Parts(Of(Stage("checkpoint { every_steps: 0 }")));
  EXPECT_EQ(parts.at("base_weights"), 134479872 * 2 + 35136 * 4);
  EXPECT_EQ(parts.at("adapter"), 4884480 * 4);
  EXPECT_EQ(parts.at("optimizer"), 2 * 4884480 * 4);
  EXPECT_EQ(parts.at("gradients"), 3 * 4884480 * 4) << "4 shards are summed in a tree of depth 2";
}

TEST(MemoryTest, ACheckpointIsWrittenFromACopy) {
  // Of the parameters and both moments, beside one sum of gradients: more than the three sums of a step.
  const auto parts = Parts(Of(Stage("checkpoint { every_steps: 50 }")));
  EXPECT_EQ(parts.at("copies"), 3 * 4884480 * 4);
  EXPECT_EQ(parts.at("gradients"), 4884480 * 4);
  // With a step between checkpoints, both are there at once.
  const auto both = Parts(Of(Stage("checkpoint { every_steps: 1 }")));
  EXPECT_EQ(both.at("copies"), 3 * 4884480 * 4);
  EXPECT_EQ(both.at("gradients"), 3 * 4884480 * 4);
}

TEST(MemoryTest, SgdKeepsNoMomentsUnlessItHasMomentum) {
  EXPECT_FALSE(Parts(Of(Stage("optimizer { sgd { } }"))).contains("optimizer"));
  EXPECT_EQ(Parts(Of(Stage("optimizer { sgd { momentum: 0.9 } }"))).at("optimizer"), 4884480 * 4);
}

TEST(MemoryTest, FullTuningTrainsEverything) {
  const auto parts = Parts(Of(Stage("tuning { full { } }")));
  EXPECT_EQ(parts.at("master_weights"), (134479872 + 35136) * int64_t{4});
  EXPECT_FALSE(parts.contains("adapter"));
}

TEST(MemoryTest, CheckpointedLayersFp32AndTokensMoveThePeakTheRightWay) {
  const int64_t peak = Of(Stage()).peak_bytes;
  EXPECT_LT(Of(Stage(), true, 15).peak_bytes, peak);
  EXPECT_LT(Of(Stage(), true, 29).peak_bytes, Of(Stage(), true, 15).peak_bytes);
  EXPECT_GT(Of(Stage(), false).peak_bytes, peak);
  EXPECT_LT(Of(Stage(), true, 0, 1024).peak_bytes, peak);
}

TEST(MemoryTest, LoadingCanBeTheWorstMoment) {
  // fp32 files become bf16 while both are there.
  const MemoryPlan plan = Of(Stage("micro_batch_tokens: 64"), true, 30, 64);
  EXPECT_EQ(plan.phase, "loading");
  EXPECT_EQ(Parts(plan).at("copies"), 538060032);
}

}  // namespace
}  // namespace vernier::plan
