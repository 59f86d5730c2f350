#include "worker/optim/optimizer.h"

#include <cmath>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vernier::optim {
namespace {

v1::Optimizer Spec(const std::string& name) {
  v1::Optimizer spec;
  if (name == "adamw") {
    spec.mutable_adamw()->set_learning_rate(0.1);
    spec.mutable_adamw()->set_weight_decay(0.01);
  } else {
    spec.mutable_sgd()->set_learning_rate(0.1);
    spec.mutable_sgd()->set_momentum(0.9);
  }
  return spec;
}

// A parameter vector with its optimiser and one step at a time.
struct Trained {
  std::vector<float> values;
  std::unique_ptr<Optimizer> optimizer;
  Trained(const v1::Optimizer& spec, std::vector<float> start, bool decay = true) : values(std::move(start)) {
    optimizer = CreateOptimizer(spec, {{"p", absl::MakeSpan(values), decay}}).value();
  }
  void Step(const std::vector<float>& gradient, double factor = 1.0) {
    const absl::Span<const float> span(gradient);
    optimizer->Step({span}, factor);
  }
};

TEST(AdamWTest, FirstStepMovesByTheLearningRateAgainstTheSign) {
  // m / (1 - b1) = g and sqrt(v / (1 - b2)) = |g|, so the first step is lr * sign(g) up to epsilon.
  v1::Optimizer spec;
  spec.mutable_adamw()->set_learning_rate(0.1);
  Trained trained(spec, {1.0f, -2.0f});
  trained.Step({0.5f, -3.0f});
  EXPECT_NEAR(trained.values[0], 0.9f, 1e-6);
  EXPECT_NEAR(trained.values[1], -1.9f, 1e-6);
}

TEST(AdamWTest, EqualsTorchOverFiveSteps) {
  // torch.optim.AdamW([1.0, -0.5, 2.0], lr=0.1, weight_decay=0.01), gradients [0.3, -0.2, 0.1] * (step + 1), torch 2.15:
  // tests/golden/make/make_optim_goldens.py prints these numbers.
  Trained trained(Spec("adamw"), {1.0f, -0.5f, 2.0f});
  for (int step = 0; step < 5; ++step) {
    const float k = static_cast<float>(step + 1);
    trained.Step({0.3f * k, -0.2f * k, 0.1f * k});
  }
  EXPECT_NEAR(trained.values[0], 0.510903f, 2e-6);
  EXPECT_NEAR(trained.values[1], -0.013398f, 2e-6);
  EXPECT_NEAR(trained.values[2], 1.505913f, 2e-6);
}

TEST(AdamWTest, DecayLeavesExemptParametersAlone) {
  Trained decayed(Spec("adamw"), {1.0f});
  Trained exempt(Spec("adamw"), {1.0f}, /*decay=*/false);
  decayed.Step({0.0f});
  exempt.Step({0.0f});
  EXPECT_FLOAT_EQ(exempt.values[0], 1.0f);
  EXPECT_FLOAT_EQ(decayed.values[0], 1.0f - 0.1f * 0.01f);
}

TEST(SgdTest, MomentumAddsUp) {
  Trained trained(Spec("sgd"), {0.0f});
  trained.Step({1.0f});  // b = 1, p = -0.1
  trained.Step({1.0f});  // b = 1.9, p = -0.29
  EXPECT_NEAR(trained.values[0], -0.29f, 1e-6);
}

TEST(FixedOrderNormTest, IsTheEuclideanNormAcrossSpans) {
  const std::vector<float> a = {3.0f};
  const std::vector<float> b(9000, 0.0f);
  const std::vector<float> c = {4.0f};
  EXPECT_DOUBLE_EQ(FixedOrderNorm({a, b, c}), 5.0);
}

// Suite over the whole registry.
class EveryOptimizerTest : public testing::TestWithParam<std::string> {};

TEST_P(EveryOptimizerTest, RestoredStateContinuesWithTheSameBits) {
  Trained straight(Spec(GetParam()), {1.0f, 2.0f, -3.0f});
  const std::vector<float> g1 = {0.1f, -0.4f, 0.7f};
  const std::vector<float> g2 = {-0.3f, 0.2f, 0.9f};
  straight.Step(g1);
  Trained resumed(Spec(GetParam()), straight.values);
  resumed.optimizer->set_num_updates(straight.optimizer->num_updates());
  auto from = straight.optimizer->State();
  auto to = resumed.optimizer->State();
  ASSERT_EQ(from.size(), to.size());
  for (size_t i = 0; i < from.size(); ++i) {
    ASSERT_EQ(from[i].name, to[i].name);
    std::copy(from[i].values.begin(), from[i].values.end(), to[i].values.begin());
  }
  straight.Step(g2, 0.5);
  resumed.Step(g2, 0.5);
  EXPECT_EQ(straight.values, resumed.values);
}

TEST_P(EveryOptimizerTest, ZeroRateChangesNothing) {
  Trained trained(Spec(GetParam()), {1.0f, 2.0f});
  trained.Step({5.0f, -5.0f}, 0.0);
  EXPECT_EQ(trained.values, (std::vector<float>{1.0f, 2.0f}));
}

TEST_P(EveryOptimizerTest, GoesDownhillOnAQuadratic) {
  Trained trained(Spec(GetParam()), {1.0f});
  for (int step = 0; step < 200; ++step) trained.Step({trained.values[0]}, 0.2);
  EXPECT_LT(std::abs(trained.values[0]), 0.05f);
}

INSTANTIATE_TEST_SUITE_P(Registry, EveryOptimizerTest, testing::ValuesIn(KnownOptimizers()),
                         [](const auto& info) { return info.param; });

TEST(CreateOptimizerTest, NoRuleIsAnError) {
  EXPECT_EQ(CreateOptimizer({}, {}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace vernier::optim
