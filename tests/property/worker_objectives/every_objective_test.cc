// What holds for every objective of worker/objectives/registry.cc.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "adapters/adapter.h"
#include "common/check.h"
#include "common/philox.h"
#include "tests/testing/torch/small_model.h"
#include "worker/models/torch.h"
#include "worker/objectives/objective.h"

namespace vernier::objectives {
namespace {

using testing::BatchOf;
using testing::LabelledRow;
using testing::RandomRows;

v1::Objective SpecOf(const std::string& name) {
  v1::Objective spec;
  if (name == "causal_lm") {
    spec.mutable_causal_lm();
  } else {
    ADD_FAILURE() << "no setting for the objective " << name << "; add one";
  }
  return spec;
}

struct Outcome {
  double loss = 0.0;
  std::vector<RowSums> rows;
  std::vector<at::Tensor> gradients;
};

class EveryObjectiveTest : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  void SetUp() override {
    model_ = testing::LoadSmallModel(std::get<1>(GetParam()));
    v1::Tuning full;
    full.mutable_full();
    tuning_ = adapters::CreateTuning(*model_, full, 0).value();
    objective_ = CreateObjective(SpecOf(std::get<0>(GetParam()))).value();
  }

  std::vector<LabelledRow> Rows(int count) const { return RandomRows(count, model_->config().vocab_size); }

  // Sums over micro-batches: `rows` in groups of `group_size`.
  Outcome Compute(const std::vector<LabelledRow>& rows, size_t group_size, double scale = 0.1) {
    for (const auto& parameter : tuning_->Trainable()) {
      at::Tensor tensor = parameter.tensor;
      tensor.mutable_grad() = at::Tensor();
    }
    Outcome outcome;
    for (size_t begin = 0; begin < rows.size(); begin += group_size) {
      const auto end = rows.begin() + static_cast<int64_t>(std::min(begin + group_size, rows.size()));
      const LabelledBatch batch =
          BatchOf({rows.begin() + static_cast<int64_t>(begin), end}, true, static_cast<int64_t>(begin));
      const ObjectiveResult result = objective_->Compute(*model_, *tuning_, batch, scale);
      VN_CHECK(result.loss.scalar_type() == at::kFloat && result.loss.dim() == 0);
      result.loss.backward();
      outcome.loss += result.loss.item<double>();
      outcome.rows.insert(outcome.rows.end(), result.rows.begin(), result.rows.end());
    }
    for (const auto& parameter : tuning_->Trainable()) {
      outcome.gradients.push_back(parameter.tensor.grad().defined() ? parameter.tensor.grad().clone()
                                                                    : at::zeros_like(parameter.tensor));
    }
    return outcome;
  }

  void ExpectSame(const Outcome& got, const Outcome& want) {
    EXPECT_NEAR(got.loss, want.loss, 1e-5 * std::abs(want.loss));
    const auto parameters = tuning_->Trainable();
    for (size_t i = 0; i < want.gradients.size(); ++i) {
      EXPECT_LE((got.gradients[i] - want.gradients[i]).norm().item<double>(),
                1e-5 * want.gradients[i].norm().item<double>() + 1e-9)
          << parameters[i].name;
    }
  }

  std::unique_ptr<models::CausalLm> model_;
  std::unique_ptr<adapters::Tuning> tuning_;
  std::unique_ptr<Objective> objective_;
};

TEST_P(EveryObjectiveTest, GradientsAgreeWithFiniteDifferences) {
  const std::vector<LabelledRow> rows = Rows(5);
  const Outcome at_start = Compute(rows, rows.size());
  const at::NoGradGuard no_grad;
  const auto loss = [&] {
    double sum = 0.0;
    for (const RowSums& row : objective_->Compute(*model_, *tuning_, BatchOf(rows, true), 0.1).rows) {
      sum += 0.1 * row.weighted_nll;
    }
    return sum;
  };
  const auto parameters = tuning_->Trainable();
  for (size_t i = 0; i < parameters.size(); ++i) {
    at::Tensor tensor = parameters[i].tensor;
    const double norm = at_start.gradients[i].norm().item<double>();
    // A key bias shifts every score of a query alike: its gradient is zero.
    if (norm < 1e-4) continue;
    const at::Tensor direction = at_start.gradients[i] / norm;
    const at::Tensor kept = tensor.clone();
    constexpr double kStep = 1e-2;
    tensor.copy_(kept + kStep * direction);
    const double up = loss();
    tensor.copy_(kept - kStep * direction);
    const double down = loss();
    tensor.copy_(kept);
    EXPECT_NEAR((up - down) / (2 * kStep), norm, 0.03 * norm + 1e-4) << parameters[i].name;
  }
}

TEST_P(EveryObjectiveTest, TheLossIsTheScaledSumOfItsRows) {
  const Outcome outcome = Compute(Rows(6), 6, 0.25);
  double sum = 0.0;
  for (const RowSums& row : outcome.rows) {
    EXPECT_GT(row.num_targets, 0);
    EXPECT_GT(row.weighted_nll, 0.0);
    sum += row.weighted_nll;
  }
  EXPECT_NEAR(outcome.loss, 0.25 * sum, 1e-5 * sum);
}

TEST_P(EveryObjectiveTest, RowsWithoutTrainedTokensAreIgnored) {
  std::vector<LabelledRow> rows = Rows(4);
  const Outcome want = Compute(rows, rows.size());
  LabelledRow masked = Rows(5).back();
  std::fill(masked.weights.begin(), masked.weights.end(), 0.0f);
  rows.push_back(masked);
  const Outcome got = Compute(rows, rows.size());
  ExpectSame(got, want);
  EXPECT_EQ(got.rows.back().num_targets, 0);
  EXPECT_EQ(got.rows.back().weight, 0.0);
  EXPECT_EQ(got.rows.back().weighted_nll, 0.0);
}

TEST_P(EveryObjectiveTest, AMicroBatchWithoutTrainedTokensGivesZeros) {
  std::vector<LabelledRow> rows = Rows(2);
  for (LabelledRow& row : rows) std::fill(row.weights.begin(), row.weights.end(), 0.0f);
  const Outcome outcome = Compute(rows, rows.size());
  EXPECT_EQ(outcome.loss, 0.0);
  for (const at::Tensor& gradient : outcome.gradients) EXPECT_EQ(gradient.abs().sum().item<double>(), 0.0);
}

TEST_P(EveryObjectiveTest, TheFirstTokenOfARowIsNoTarget) {
  std::vector<LabelledRow> rows = Rows(3);
  const Outcome want = Compute(rows, rows.size());
  for (LabelledRow& row : rows) row.weights[0] = 5.0f;
  ExpectSame(Compute(rows, rows.size()), want);
}

TEST_P(EveryObjectiveTest, WeightsWeigh) {
  std::vector<LabelledRow> rows = Rows(1);
  const Outcome once = Compute(rows, 1);
  for (float& weight : rows[0].weights) weight *= 2.0f;
  const Outcome twice = Compute(rows, 1);
  EXPECT_NEAR(twice.loss, 2.0 * once.loss, 1e-5 * once.loss);
  EXPECT_NEAR(twice.rows[0].nll, once.rows[0].nll, 1e-5 * once.rows[0].nll);
}

TEST_P(EveryObjectiveTest, MicroBatchesOfAnySizeAddUpToTheWhole) {
  if (objective_->coupling() > Coupling::kRow)
    GTEST_SKIP() << "couples rows, so a batch is not split between them";
  const std::vector<LabelledRow> rows = Rows(7);
  const Outcome whole = Compute(rows, rows.size());
  for (const size_t size : {1, 2, 3}) {
    const Outcome split = Compute(rows, size);
    ExpectSame(split, whole);
    ASSERT_EQ(split.rows.size(), whole.rows.size());
    for (size_t r = 0; r < rows.size(); ++r) {
      EXPECT_NEAR(split.rows[r].weighted_nll, whole.rows[r].weighted_nll, 1e-5 * whole.rows[r].weighted_nll);
      EXPECT_EQ(split.rows[r].weight, whole.rows[r].weight);
      EXPECT_EQ(split.rows[r].num_targets, whole.rows[r].num_targets);
      EXPECT_EQ(split.rows[r].num_correct, whole.rows[r].num_correct);
    }
  }
}

TEST_P(EveryObjectiveTest, EqualInputsGiveEqualBits) {
  const std::vector<LabelledRow> rows = Rows(6);
  const Outcome first = Compute(rows, 3);
  const Outcome second = Compute(rows, 3);
  EXPECT_EQ(first.loss, second.loss);
  for (size_t i = 0; i < first.gradients.size(); ++i) {
    EXPECT_TRUE(at::equal(first.gradients[i], second.gradients[i]));
  }
}

TEST_P(EveryObjectiveTest, TheSumsDoNotDependOnWhetherAGradientIsWanted) {
  const std::vector<LabelledRow> rows = Rows(6);
  const Outcome with = Compute(rows, rows.size());
  const at::NoGradGuard no_grad;
  const ObjectiveResult without = objective_->Compute(*model_, *tuning_, BatchOf(rows, true), 0.1);
  EXPECT_FALSE(without.loss.requires_grad());
  for (size_t r = 0; r < rows.size(); ++r) EXPECT_EQ(without.rows[r].weighted_nll, with.rows[r].weighted_nll);
}

// gemma2: capped logits, and a head that is the embedding.
INSTANTIATE_TEST_SUITE_P(Registry, EveryObjectiveTest,
                         ::testing::Combine(::testing::ValuesIn(KnownObjectives()),
                                            ::testing::Values("llama", "gemma2")),
                         [](const auto& info) {
                           return absl::StrCat(std::get<0>(info.param), "_", std::get<1>(info.param));
                         });

}  // namespace
}  // namespace vernier::objectives
