// How datasets share epochs, and the batches made of them.
#include "worker/data/mixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "worker/data/batch_plan.h"

namespace vernier::data {
namespace {

using testing::ElementsAre;

TEST(RowsPerEpochTest, SharesAreThoseOfTheWeightsAndTheEpochKeepsItsSize) {
  EXPECT_THAT(RowsPerEpoch({900, 100}, {1, 1}), ElementsAre(500, 500));
  EXPECT_THAT(RowsPerEpoch({900, 100}, {3, 1}), ElementsAre(750, 250));
  EXPECT_THAT(RowsPerEpoch({10, 10, 10}, {1, 1, 1e-9}), ElementsAre(15, 15, 1)) << "at least one row";
  EXPECT_THAT(RowsPerEpoch({5, 5}, {1, 2}), ElementsAre(3, 7));
  EXPECT_THAT(RowsPerEpoch({900, 100}, {0, 0}), ElementsAre(900, 100)) << "no weights: all rows";
}

TEST(MixtureOrderTest, EveryRowIsSeenOnceBeforeAnyIsSeenAgain) {
  const MixtureOrder order({{.num_rows = 7, .weight = 1}, {.num_rows = 93, .weight = 3}}, 5);
  ASSERT_EQ(order.rows_per_epoch(), 100);
  std::map<int64_t, int> seen;
  for (int64_t epoch = 0; epoch < 9; ++epoch) {
    for (int64_t slot = 0; slot < 100; ++slot) {
      const int64_t row = order.Row(epoch, slot);
      EXPECT_EQ(row < 7, slot < 25);
      ++seen[row];
    }
    for (const auto& [begin, end] : {std::pair{0, 7}, std::pair{7, 100}}) {
      int least = INT32_MAX, most = 0;
      for (int row = begin; row < end; ++row) {
        least = std::min(least, seen[row]);
        most = std::max(most, seen[row]);
      }
      EXPECT_LE(most - least, 1) << epoch;
    }
  }
}

BatchPlan PlanOf(BatchPlanOptions options, size_t rows) {
  std::vector<int64_t> lengths;
  for (size_t i = 0; i < rows; ++i) lengths.push_back(1 + static_cast<int64_t>(i * 7 % 19));
  const std::vector<double> sums(lengths.begin(), lengths.end());
  auto plan = BatchPlan::Create(lengths, sums, options);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *std::move(plan);
}

TEST(MixtureBatchPlanTest, AnEpochHoldsTheSharesAndAnyStepCanBePlannedAlone) {
  for (const int64_t tokens : {int64_t{0}, int64_t{200}}) {
    const BatchPlanOptions options = {
        .batch_rows = 16,
        .batch_tokens = tokens,
        .seed = 3,
        .mixture = {{.num_rows = 30, .weight = 1}, {.num_rows = 170, .weight = 1}}};
    const BatchPlan plan = PlanOf(options, 200);
    const int64_t steps = plan.TotalSteps(3.0);
    std::vector<std::vector<int64_t>> batches;
    std::map<int64_t, std::map<bool, int64_t>> by_epoch;
    for (int64_t step = 0; step < steps; ++step) {
      const GlobalBatch batch = plan.Batch(step);
      for (const int64_t row : batch.rows) ++by_epoch[batch.epoch][row < 30];
      batches.push_back(batch.rows);
    }
    ASSERT_EQ(by_epoch.size(), 3u);
    for (const auto& [epoch, counts] : by_epoch) {
      EXPECT_EQ(counts.at(true), 100) << epoch;
      EXPECT_EQ(counts.at(false), 100) << epoch;
    }
    // The datasets are mixed, not one after the other.
    EXPECT_TRUE(std::any_of(batches[0].begin(), batches[0].end(), [](int64_t row) { return row < 30; }));
    EXPECT_TRUE(std::any_of(batches[0].begin(), batches[0].end(), [](int64_t row) { return row >= 30; }));
    // Resume anywhere: a fresh plan that starts at `step` sees the same rows.
    for (const int64_t step : {steps - 1, int64_t{0}, steps / 2}) {
      EXPECT_EQ(PlanOf(options, 200).Rows(step), batches[step]) << step;
    }
  }
}

TEST(MixtureBatchPlanTest, WithoutWeightsTheOrderIsWhatItWasWithoutAMixture) {
  const BatchPlan plan = PlanOf({.batch_rows = 8, .seed = 11}, 50);
  std::vector<int64_t> rows;
  for (int64_t step = 0; step < plan.TotalSteps(1.0); ++step) {
    const std::vector<int64_t> more = plan.Rows(step);
    rows.insert(rows.end(), more.begin(), more.end());
  }
  std::sort(rows.begin(), rows.end());
  std::vector<int64_t> all(50);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(rows, all);
}

TEST(MixtureBatchPlanTest, AMixtureThatDoesNotFitTheRowsIsRefused) {
  const std::vector<int64_t> lengths(10, 3);
  const std::vector<double> sums(10, 3.0);
  for (const std::vector<MixturePart>& mixture :
       {std::vector<MixturePart>{{.num_rows = 9, .weight = 1}},
        {{.num_rows = 10, .weight = 0}},
        {{.num_rows = 10, .weight = NAN}},
        {{.num_rows = 0, .weight = 1}, {.num_rows = 10, .weight = 1}}}) {
    const auto plan = BatchPlan::Create(lengths, sums, {.mixture = mixture});
    EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(plan.status().message()), testing::HasSubstr("data.mix"));
  }
}

}  // namespace
}  // namespace vernier::data
