// LoRA trains every family of worker/models/registry.cc: steps lower the loss, packed rows learn what padded
// ones learn, and the adapter that comes out is read back to the same bits.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapters/adapter.h"
#include "common/check.h"
#include "storage/safetensors.h"
#include "tests/testing/torch/small_model.h"
#include "tests/testing/torch/train_step.h"
#include "worker/models/torch.h"
#include "worker/trainer/lanes.h"
#include "worker/trainer/run.h"

namespace vernier::trainer {
namespace {

constexpr int kRows = 8;
constexpr int kSteps = 5;

class EveryFamilyTrainsTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    model_ = testing::LoadSmallModel(GetParam());
    rows_.emplace(testing::PreparedOf(testing::RandomRows(kRows, model_->config().vocab_size)));
  }

  std::unique_ptr<trainer::Run> NewRun(int max_lanes = 1) const {
    v1::TrainStage stage;
    stage.mutable_objective()->mutable_causal_lm();
    stage.mutable_optimizer()->mutable_adamw()->set_learning_rate(0.02);
    stage.mutable_tuning()->mutable_lora()->set_rank(3);
    auto tuning = adapters::CreateTuning(*model_, stage.tuning(), /*seed=*/4);
    VN_CHECK_OK(tuning.status());
    if (max_lanes > 1) testing::Perturb(**tuning);  // B that is zero would hide A's gradient
    auto run = trainer::Run::Create(*model_, *std::move(tuning), stage, max_lanes);
    VN_CHECK_OK(run.status());
    return *std::move(run);
  }

  // The losses of kSteps over all rows.
  std::vector<double> Train(trainer::Run& run, data::Layout layout, int64_t micro_batch_tokens) const {
    std::vector<int64_t> all;
    for (int64_t i = 0; i < kRows; ++i) all.push_back(i);
    data::BatchPlanOptions options;
    options.micro_batch_tokens = micro_batch_tokens;
    options.layout = layout;
    std::vector<double> losses;
    for (int step = 0; step < kSteps; ++step) {
      const auto outcome =
          testing::TrainStep(run, *rows_, testing::GlobalBatchOf(*rows_, all, step, options), layout,
                             /*clip_norm=*/1.0, /*factor=*/1.0);
      VN_CHECK_OK(outcome.status());
      losses.push_back(outcome->loss);
    }
    return losses;
  }

  std::unique_ptr<models::CausalLm> model_;
  std::optional<data::PreparedRows> rows_;
};

TEST_P(EveryFamilyTrainsTest, StepsLowerTheLoss) {
  const std::unique_ptr<trainer::Run> run = NewRun();
  const std::vector<double> losses = Train(*run, data::Layout::kPacked, 2048);
  EXPECT_LT(losses.back(), 0.95 * losses.front()) << losses.front() << " -> " << losses.back();
}

TEST_P(EveryFamilyTrainsTest, PackedAndPaddedRowsLearnTheSame) {
  const std::unique_ptr<trainer::Run> packed = NewRun(), padded = NewRun();
  const std::vector<double> a = Train(*packed, data::Layout::kPacked, 2048);
  const std::vector<double> b = Train(*padded, data::Layout::kPadded, 16);
  for (int step = 0; step < kSteps; ++step) EXPECT_NEAR(a[step], b[step], 2e-5 * a[step]) << "step " << step;
}

// Shards that are computed at once on their own gradients have the bits of one after the other.
TEST_P(EveryFamilyTrainsTest, LanesComputeWhatOneThreadDoes) {
  const int before = at::get_num_threads();
  at::set_num_threads(2);
  for (const int64_t checkpointed : {int64_t{0}, int64_t{1000}}) {
    constexpr int kShards = 4;
    const std::unique_ptr<trainer::Run> run = NewRun(/*max_lanes=*/2);
    ASSERT_EQ(run->num_lanes(), 2);
    // One thread each: more would share out their sums otherwise.
    const auto gradient = [&](int num_lanes) {
      const auto leaf = [&](int lane, int shard, FlatGradient& out) {
        objectives::LabelledBatch batch =
            testing::BatchOf(testing::RandomRows(3, model_->config().vocab_size, 30 + shard), true);
        batch.tokens.checkpointed_layers = checkpointed;
        std::vector<objectives::RowSums> sums;
        return run->ForwardBackward({batch, batch}, 0.1, out, sums, lane);
      };
      Lanes lanes;
      FlatGradient sum;
      if (num_lanes == 1) at::set_num_threads(1);
      VN_CHECK_OK(SumShardsInLanes(lanes, num_lanes, kShards, leaf, sum));
      at::set_num_threads(2);
      return sum;
    };
    const FlatGradient alone = gradient(1);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(gradient(2), alone) << checkpointed << " layers checkpointed";
  }
  at::set_num_threads(before);
}

TEST_P(EveryFamilyTrainsTest, TheTrainedAdapterIsReadBackToTheSameBits) {
  const std::unique_ptr<trainer::Run> run = NewRun();
  Train(*run, data::Layout::kPacked, 2048);
  const auto exported = run->tuning().Export("base");
  ASSERT_TRUE(exported.ok()) << exported.status();
  const std::string bytes = testing::TensorFileBytes(*exported);
  const auto file = storage::SafetensorsFile::Parse(bytes, exported->tensor_file);
  ASSERT_TRUE(file.ok()) << file.status();
  const auto loaded = adapters::LoadPeft(*model_, exported->config.dump(), *file);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(testing::Values(run->tuning()), testing::Values(**loaded));
}

INSTANTIATE_TEST_SUITE_P(Families, EveryFamilyTrainsTest, ::testing::ValuesIn(models::KnownModelTypes()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace vernier::trainer
