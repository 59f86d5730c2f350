#include "worker/trainer/run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "adapters/adapter.h"
#include "common/check.h"
#include "tests/testing/torch/small_model.h"
#include "worker/models/torch.h"

namespace vernier::trainer {
namespace {

using testing::BatchOf;
using testing::RandomRows;

v1::TrainStage Stage() {
  v1::TrainStage stage;
  stage.mutable_tuning()->mutable_lora()->set_rank(2);
  stage.mutable_objective()->mutable_causal_lm();
  stage.mutable_optimizer()->mutable_adamw()->set_learning_rate(0.01);
  return stage;
}

class RunTest : public ::testing::Test {
 protected:
  std::unique_ptr<trainer::Run> Make(const v1::TrainStage& stage = Stage()) const {
    auto tuning = adapters::CreateTuning(*model_, stage.tuning(), 1);
    VN_CHECK_OK(tuning.status());
    testing::Perturb(**tuning);
    auto run = trainer::Run::Create(*model_, *std::move(tuning), stage);
    VN_CHECK_OK(run.status());
    return *std::move(run);
  }
  std::vector<objectives::LabelledBatch> Batches() const {
    return {BatchOf(RandomRows(3, vocab_size(), 1), true), BatchOf(RandomRows(2, vocab_size(), 2), true, 3)};
  }
  int64_t vocab_size() const { return model_->config().vocab_size; }

  const std::unique_ptr<models::CausalLm> model_ = testing::LoadSmallModel("llama");
};

TEST_F(RunTest, TheGradientStartsFromZeroAndAddsUpOverMicroBatches) {
  const auto run = Make();
  const auto batches = Batches();
  FlatGradient first, second, both(7, 99.0f);
  std::vector<objectives::RowSums> rows;
  ASSERT_TRUE(run->ForwardBackward({batches[0]}, 0.1, first, rows).ok());
  ASSERT_TRUE(run->ForwardBackward({batches[1]}, 0.1, second, rows).ok());
  EXPECT_EQ(rows.size(), 5u);
  ASSERT_TRUE(run->ForwardBackward(batches, 0.1, both, rows).ok());
  EXPECT_EQ(rows.size(), 10u) << "rows are appended";
  ASSERT_EQ(static_cast<int64_t>(both.size()), run->num_trained_parameters());
  for (size_t i = 0; i < both.size(); ++i) EXPECT_FLOAT_EQ(both[i], first[i] + second[i]);
}

TEST_F(RunTest, NoMicroBatchesGiveAZeroGradient) {
  const auto run = Make();
  FlatGradient gradient(3, 1.0f);
  std::vector<objectives::RowSums> rows;
  ASSERT_TRUE(run->ForwardBackward({}, 0.1, gradient, rows).ok());
  EXPECT_EQ(gradient, FlatGradient(run->num_trained_parameters(), 0.0f));
}

TEST_F(RunTest, ForwardGivesTheSumsOfForwardBackward) {
  const auto run = Make();
  const auto batches = Batches();
  FlatGradient gradient;
  std::vector<objectives::RowSums> trained;
  ASSERT_TRUE(run->ForwardBackward({batches[0]}, 0.1, gradient, trained).ok());
  const auto plain = run->Forward(batches[0]);
  ASSERT_TRUE(plain.ok()) << plain.status();
  for (size_t r = 0; r < trained.size(); ++r) EXPECT_EQ((*plain)[r].weighted_nll, trained[r].weighted_nll);
}

// The batch after the broken one must not find anything of it.
TEST_F(RunTest, AFailureLeavesTheRunAsItWas) {
  const auto run = Make();
  auto batches = Batches();
  FlatGradient want;
  std::vector<objectives::RowSums> rows;
  ASSERT_TRUE(run->ForwardBackward(batches, 0.1, want, rows).ok());
  auto broken = Batches();
  broken[1].tokens.ids_T = broken[1].tokens.ids_T + vocab_size();  // outside the embedding
  {
    FlatGradient gone;
    std::vector<objectives::RowSums> kept(2);
    const absl::Status status = run->ForwardBackward(broken, 0.1, gone, kept);
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(status.message()), ::testing::StartsWith("forward_backward: "));
    EXPECT_EQ(kept.size(), 2u);
  }
  FlatGradient got;
  ASSERT_TRUE(run->ForwardBackward(batches, 0.1, got, rows).ok());
  EXPECT_EQ(got, want);
  for (const auto& parameter : run->tuning().Trainable()) EXPECT_FALSE(parameter.tensor.grad().defined());
}

TEST_F(RunTest, AStepReturnsTheNormAndClips) {
  v1::TrainStage stage = Stage();
  stage.mutable_optimizer()->mutable_sgd()->set_learning_rate(1.0);
  const auto run = Make(stage);
  const std::vector<float> before = testing::Values(run->tuning());
  FlatGradient gradient(run->num_trained_parameters(), 0.0f);
  gradient[0] = 3.0f;
  gradient[1] = -4.0f;
  EXPECT_DOUBLE_EQ(run->OptimStep(gradient, /*clip_norm=*/1.0, /*factor=*/1.0), 5.0);
  const std::vector<float> after = testing::Values(run->tuning());
  EXPECT_NEAR(before[0] - after[0], 0.6f, 1e-5);
  EXPECT_NEAR(before[1] - after[1], -0.8f, 1e-5);
  EXPECT_EQ(before[2], after[2]);
  EXPECT_EQ(run->num_updates(), 1);
}

TEST_F(RunTest, AGradientBelowTheLimitIsNotClipped) {
  v1::TrainStage stage = Stage();
  stage.mutable_optimizer()->mutable_sgd()->set_learning_rate(1.0);
  for (const double clip : {0.0, 1.0}) {
    const auto run = Make(stage);
    const float before = testing::Values(run->tuning())[0];
    FlatGradient gradient(run->num_trained_parameters(), 0.0f);
    gradient[0] = 0.5f;
    run->OptimStep(gradient, clip, 1.0);
    EXPECT_EQ(testing::Values(run->tuning())[0], before - 0.5f) << clip;
  }
}

TEST_F(RunTest, AGradientThatIsNotFiniteChangesNothing) {
  const auto run = Make();
  const std::vector<float> before = testing::Values(run->tuning());
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    FlatGradient gradient(run->num_trained_parameters(), 0.1f);
    gradient[5] = bad;
    EXPECT_FALSE(std::isfinite(run->OptimStep(gradient, 1.0, 1.0)));
  }
  EXPECT_EQ(testing::Values(run->tuning()), before);
  EXPECT_EQ(run->num_updates(), 0);
}

// Law 3 on a small scale: what State() names is all that the next step depends on.
TEST_F(RunTest, ARestoredRunContinuesWithTheSameBits) {
  const auto straight = Make();
  const auto batches = Batches();
  FlatGradient gradient;
  std::vector<objectives::RowSums> rows;
  const auto step = [&](trainer::Run& run) {
    ASSERT_TRUE(run.ForwardBackward(batches, 0.1, gradient, rows).ok());
    run.OptimStep(gradient, 1.0, 0.7);
  };
  step(*straight);
  const auto resumed = Make();
  resumed->set_num_updates(straight->num_updates());
  const auto from = straight->State();
  const auto to = resumed->State();
  ASSERT_EQ(from.size(), to.size());
  for (size_t i = 0; i < from.size(); ++i) {
    ASSERT_EQ(from[i].name, to[i].name);
    ASSERT_EQ(from[i].values.size(), to[i].values.size());
    std::copy(from[i].values.begin(), from[i].values.end(), to[i].values.begin());
  }
  step(*straight);
  step(*resumed);
  EXPECT_EQ(testing::Values(straight->tuning()), testing::Values(resumed->tuning()));
}

TEST_F(RunTest, NothingToTrainIsAnError) {
  v1::TrainStage stage = Stage();
  for (const auto& parameter : model_->parameters())
    stage.mutable_tuning()->mutable_full()->add_freeze(parameter.name);
  auto tuning = adapters::CreateTuning(*model_, stage.tuning(), 1);
  ASSERT_TRUE(tuning.ok()) << tuning.status();
  const auto run = trainer::Run::Create(*model_, *std::move(tuning), stage);
  EXPECT_EQ(run.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(run.status().message()), ::testing::HasSubstr("tuning.full.freeze"));
}

}  // namespace
}  // namespace vernier::trainer
