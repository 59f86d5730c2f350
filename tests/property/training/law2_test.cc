// Law 2: one definition of the loss. A real run (model, adapter with dropout, optimiser, shard tree) has the
// same loss sequence whether rows are packed or padded and however small the micro-batches are, and the same
// bits when repeated.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapters/adapter.h"
#include "common/check.h"
#include "storage/memory_store.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_model.h"
#include "tests/testing/torch/small_model.h"
#include "tests/testing/torch/train_step.h"
#include "worker/data/batch_plan.h"
#include "worker/optim/schedule.h"
#include "worker/trainer/run.h"

namespace vernier::trainer {
namespace {

constexpr int kSteps = 12;
constexpr uint64_t kSeed = 21;

struct Setting {
  data::Layout layout = data::Layout::kPacked;
  int64_t micro_batch_tokens = 4096;
  int32_t virtual_shards = 4;
};

struct Trace {
  std::vector<double> losses;
  std::vector<double> norms;
  std::vector<float> parameters;  // after the last step
};

class Law2Test : public ::testing::Test {
 protected:
  // A model so small is computed fastest by one thread.
  void SetUp() override {
    at::set_num_threads(1);
    ASSERT_TRUE(tiny::WriteModelFolder(folder_.path()).ok());
    model_ = models::LoadCausalLm(folder_.path(), at::kFloat).value();
    std::vector<tiny::Row> rows = tiny::MakeRows(20);
    for (const tiny::Row& row : tiny::MakeRows(20, 98765)) rows.push_back(row);
    for (size_t i = 0; i < rows.size(); ++i) rows[i].weight = i % 3 == 0 ? 0.5f : 1.0f;
    ASSERT_TRUE(tiny::WritePrepared(store_, "data", rows, {}).ok());
    rows_.emplace(data::PreparedRows::Open(store_, "data", data::Split::kTrain).value());
  }

  v1::TrainStage Stage() const {
    v1::TrainStage stage;
    stage.mutable_objective()->mutable_causal_lm();
    stage.mutable_optimizer()->mutable_adamw()->set_learning_rate(3e-3);
    stage.mutable_optimizer()->mutable_adamw()->set_weight_decay(0.01);
    stage.mutable_tuning()->mutable_lora()->set_rank(4);
    stage.mutable_tuning()->mutable_lora()->set_dropout(0.1);
    return stage;
  }

  Trace Train(const Setting& setting) const { return Train(setting, Stage()); }
  Trace Train(const Setting& setting, const v1::TrainStage& stage) const {
    auto tuning = adapters::CreateTuning(*model_, stage.tuning(), kSeed);
    VN_CHECK_OK(tuning.status());
    auto run = trainer::Run::Create(*model_, *std::move(tuning), stage);
    VN_CHECK_OK(run.status());
    data::BatchPlanOptions options;
    options.batch_rows = 8;
    options.seed = kSeed;
    options.virtual_shards = setting.virtual_shards;
    options.micro_batch_tokens = setting.micro_batch_tokens;
    options.layout = setting.layout;
    auto plan = data::BatchPlan::Create(rows_->lengths(), rows_->weight_sums(), options);
    VN_CHECK_OK(plan.status());
    v1::Schedule schedule;
    schedule.mutable_linear();
    schedule.set_warmup_steps(3);
    Trace trace;
    for (int step = 0; step < kSteps; ++step) {
      const auto outcome =
          testing::TrainStep(**run, *rows_, plan->Batch(step), setting.layout, /*clip_norm=*/1.0,
                             optim::ScheduleFactor(schedule, step, kSteps));
      VN_CHECK_OK(outcome.status());
      trace.losses.push_back(outcome->loss);
      trace.norms.push_back(outcome->gradient_norm);
    }
    trace.parameters = testing::Values((*run)->tuning());
    return trace;
  }

  TempFolder folder_;
  storage::MemoryStore store_;
  std::unique_ptr<models::CausalLm> model_;
  std::optional<data::PreparedRows> rows_;
};

void ExpectSameLosses(const Trace& got, const Trace& want, const std::string& what) {
  ASSERT_EQ(got.losses.size(), want.losses.size());
  for (size_t step = 0; step < want.losses.size(); ++step) {
    EXPECT_NEAR(got.losses[step], want.losses[step], 1e-5 * want.losses[step]) << what << " step " << step;
  }
}

TEST_F(Law2Test, LossesDoNotDependOnLayoutAndMicroBatches) {
  const Trace want = Train({});
  EXPECT_LT(want.losses.back(), 0.9 * want.losses.front())
      << "nothing was learnt, so the test could not fail";
  for (const data::Layout layout : {data::Layout::kPacked, data::Layout::kPadded}) {
    for (const int64_t budget : {64, 256, 4096}) {
      const std::string what =
          std::string(layout == data::Layout::kPacked ? "packed " : "padded ") + std::to_string(budget);
      ExpectSameLosses(Train({.layout = layout, .micro_batch_tokens = budget}), want, what);
    }
  }
}

TEST_F(Law2Test, LossesDoNotDependOnTheNumberOfShards) {
  const Trace want = Train({});
  for (const int32_t shards : {1, 2, 16}) {
    ExpectSameLosses(Train({.virtual_shards = shards}), want, std::to_string(shards) + " shards");
  }
}

TEST_F(Law2Test, ARepeatedRunHasTheSameBits) {
  const Setting setting = {.layout = data::Layout::kPacked, .micro_batch_tokens = 64};
  at::set_num_threads(2);
  const Trace first = Train(setting);
  const Trace second = Train(setting);
  EXPECT_EQ(first.losses, second.losses);
  EXPECT_EQ(first.norms, second.norms);
  EXPECT_EQ(first.parameters, second.parameters);
}

TEST_F(Law2Test, DropoutChangesTheLosses) {
  v1::TrainStage without = Stage();
  without.mutable_tuning()->mutable_lora()->clear_dropout();
  EXPECT_NE(Train({}).losses, Train({}, without).losses);
}

TEST_F(Law2Test, FullFineTuningObeysItToo) {
  v1::TrainStage stage = Stage();
  stage.mutable_tuning()->mutable_full();
  const Trace want = Train({}, stage);
  ExpectSameLosses(Train({.layout = data::Layout::kPadded, .micro_batch_tokens = 64}, stage), want, "full");
}

}  // namespace
}  // namespace vernier::trainer
