// What worker/plan/activations.h counts is what LibTorch allocates, for every family and tuning method; and
// activation checkpointing keeps less without changing a bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "adapters/adapter.h"
#include "common/check.h"
#include "tests/testing/family_model.h"
#include "tests/testing/torch/counting_allocator.h"
#include "tests/testing/torch/small_model.h"
#include "worker/models/torch.h"
#include "worker/plan/activations.h"
#include "worker/plan/model_shape.h"
#include "worker/trainer/run.h"

namespace vernier {
namespace {

constexpr int kRows = 40;
constexpr int kRowTokens = 28;
constexpr uint64_t kSeed = 3;

struct Method {
  const char* name;
  v1::Tuning spec;
};

std::vector<Method> Methods() {
  std::vector<Method> methods;
  v1::Tuning lora;
  lora.mutable_lora()->set_rank(4);
  methods.push_back({"lora", lora});
  lora.mutable_lora()->set_dropout(0.25);
  methods.push_back({"lora_dropout", lora});
  v1::Tuning full;
  full.mutable_full();
  methods.push_back({"full", full});
  return methods;
}

using Param = std::tuple<std::string, int, at::ScalarType>;  // family, method, compute type

class ActivationBytesTest : public ::testing::TestWithParam<Param> {
 protected:
  void SetUp() override {
    testing::LiveTensorBytes();
    method_ = Methods()[std::get<1>(GetParam())];
    model_ = testing::LoadSmallModel(std::get<0>(GetParam()), std::get<2>(GetParam()));
    stage_.mutable_objective()->mutable_causal_lm();
    stage_.mutable_optimizer()->mutable_sgd();
    auto tuning = adapters::CreateTuning(*model_, method_.spec, kSeed);
    VN_CHECK_OK(tuning.status());
    testing::Perturb(**tuning);
    auto run = trainer::Run::Create(*model_, *std::move(tuning), stage_);
    VN_CHECK_OK(run.status());
    run_ = *std::move(run);
  }

  bool bf16() const { return std::get<2>(GetParam()) == at::kBFloat16; }

  // Rows of one length, all of whose tokens but the first are trained.
  objectives::LabelledBatch Batch(int rows) const {
    std::vector<testing::LabelledRow> made;
    for (int r = 0; r < rows; ++r) {
      testing::LabelledRow& row = made.emplace_back();
      for (int t = 0; t < kRowTokens; ++t) {
        row.ids.push_back((7 * r + 3 * t + 1) % model_->config().vocab_size);
        row.weights.push_back(t == 0 ? 0.0f : 1.0f);
      }
    }
    return testing::BatchOf(made, /*training=*/true);
  }

  trainer::FlatGradient Gradient(int64_t checkpointed_layers) {
    objectives::LabelledBatch batch = Batch(4);
    batch.tokens.checkpointed_layers = checkpointed_layers;
    trainer::FlatGradient gradient;
    std::vector<objectives::RowSums> rows;
    // Twice the same: gradients of several micro-batches add up.
    VN_CHECK_OK(run_->ForwardBackward({batch, batch}, 0.01, gradient, rows));
    return gradient;
  }

  // Bytes that are alive after the forward pass and were not before.
  int64_t Kept(int rows, int64_t checkpointed_layers) {
    objectives::LabelledBatch batch = Batch(rows);
    batch.tokens.checkpointed_layers = checkpointed_layers;
    v1::Objective spec = stage_.objective();
    const auto objective = objectives::CreateObjective(spec);
    VN_CHECK_OK(objective.status());
    const int64_t before = testing::LiveTensorBytes();
    const objectives::ObjectiveResult result =
        (*objective)->Compute(*model_, run_->tuning(), batch, /*scale=*/0.01);
    VN_CHECK(result.loss.requires_grad());
    return testing::LiveTensorBytes() - before;
  }

  v1::ModelShape Shape() const {
    const auto files = testing::SmallModelOf(std::get<0>(GetParam()));
    VN_CHECK_OK(files.status());
    auto shape = plan::ModelShapeOf(files->config.dump(), files->tensors, "small");
    VN_CHECK_OK(shape.status());
    return *std::move(shape);
  }

  Method method_;
  v1::TrainStage stage_;
  std::unique_ptr<models::CausalLm> model_;
  std::unique_ptr<trainer::Run> run_;
};

TEST_P(ActivationBytesTest, TheCountIsWhatIsAllocated) {
  const plan::KeptBytes kept = plan::KeptBytesOf(Shape(), method_.spec, bf16());
  const int64_t layers = model_->config().num_layers;
  for (const int64_t checkpointed : {int64_t{0}, int64_t{1}, layers}) {
    const int64_t want = kept.Total(kRows * kRowTokens, kRows * (kRowTokens - 1), layers, checkpointed);
    const int64_t got = Kept(kRows, checkpointed);
    // These models are so narrow that a few numbers a token count.
    const double slack = std::max(0.03 * static_cast<double>(got), 24.0 * kRows * kRowTokens);
    EXPECT_NEAR(static_cast<double>(want), static_cast<double>(got), slack)
        << checkpointed << " of " << layers << " layers checkpointed; a token of a layer: counted "
        << kept.layer_per_token;
  }
}

TEST_P(ActivationBytesTest, CheckpointingKeepsLessOfEveryLayer) {
  const int64_t none = Kept(kRows, 0), one = Kept(kRows, 1), all = Kept(kRows, 1000);
  EXPECT_LT(one, none);
  EXPECT_LT(all, one);
  EXPECT_LT(all, none / 2);
}

TEST_P(ActivationBytesTest, CheckpointingChangesNoBitOfTheGradient) {
  const trainer::FlatGradient plain = Gradient(0);
  double sum = 0;
  for (const float g : plain) sum += std::abs(g);
  ASSERT_GT(sum, 0);
  EXPECT_EQ(plain, Gradient(1));
  EXPECT_EQ(plain, Gradient(1000));
}

TEST_P(ActivationBytesTest, CheckpointingLeavesNothingBehind) {
  Gradient(1000);
  const int64_t before = testing::LiveTensorBytes();
  Gradient(1000);
  EXPECT_EQ(testing::LiveTensorBytes(), before);
}

INSTANTIATE_TEST_SUITE_P(Families, ActivationBytesTest,
                         ::testing::Combine(::testing::ValuesIn(models::KnownModelTypes()),
                                            ::testing::Range(0, static_cast<int>(Methods().size())),
                                            ::testing::Values(at::kFloat, at::kBFloat16)),
                         [](const auto& info) {
                           return absl::StrCat(std::get<0>(info.param), "_",
                                               Methods()[std::get<1>(info.param)].name, "_",
                                               std::get<2>(info.param) == at::kFloat ? "fp32" : "bf16");
                         });

}  // namespace
}  // namespace vernier
