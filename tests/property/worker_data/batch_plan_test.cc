// Laws of the batch plan over many seeded cases.
#include "worker/data/batch_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

namespace vernier::data {
namespace {

struct PlanCase {
  std::string name;
  int64_t num_rows;
  int64_t batch_rows;
  int64_t batch_tokens;
  int32_t shards;
  int64_t micro;
  Layout layout;
};

void PrintTo(const PlanCase& c, std::ostream* out) { *out << c.name; }

class BatchPlanTest : public testing::TestWithParam<PlanCase> {
 protected:
  static constexpr uint64_t kSeed = 77;

  std::vector<int64_t> Lengths() const {
    std::mt19937 random(5);
    std::vector<int64_t> lengths(GetParam().num_rows);
    for (int64_t& length : lengths) length = 1 + static_cast<int64_t>(random() % 300);
    return lengths;
  }
  std::vector<double> Sums() const {
    std::vector<double> sums;
    for (const int64_t length : Lengths()) sums.push_back(static_cast<double>(length) * 0.5);
    return sums;
  }
  BatchPlanOptions Options() const {
    const PlanCase& c = GetParam();
    return {.batch_rows = c.batch_rows,
            .batch_tokens = c.batch_tokens,
            .seed = kSeed,
            .virtual_shards = c.shards,
            .micro_batch_tokens = c.micro,
            .layout = c.layout};
  }
  BatchPlan Plan(BatchPlanOptions options) const {
    auto plan = BatchPlan::Create(Lengths(), Sums(), options);
    EXPECT_TRUE(plan.ok()) << plan.status();
    return *std::move(plan);
  }
};

TEST_P(BatchPlanTest, EveryRowExactlyOncePerEpochAndEpochsDiffer) {
  const BatchPlan plan = Plan(Options());
  std::vector<std::vector<int64_t>> epochs;
  int64_t step = 0;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<int64_t> seen;
    for (; step < plan.TotalSteps(static_cast<double>(epoch + 1)); ++step) {
      const GlobalBatch batch = plan.Batch(step);
      EXPECT_EQ(batch.epoch, epoch) << "step " << step;
      EXPECT_FALSE(batch.rows.empty());
      seen.insert(seen.end(), batch.rows.begin(), batch.rows.end());
    }
    epochs.push_back(seen);
    std::sort(seen.begin(), seen.end());
    std::vector<int64_t> all(plan.num_rows());
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(seen, all) << "epoch " << epoch;
  }
  if (plan.num_rows() >= 8) {
    EXPECT_NE(epochs[0], epochs[1]);
  }
}

TEST_P(BatchPlanTest, BatchesKeepTheirSize) {
  const BatchPlan plan = Plan(Options());
  const std::vector<int64_t> lengths = Lengths();
  const int64_t steps = plan.TotalSteps(1);
  for (int64_t step = 0; step < steps; ++step) {
    const GlobalBatch batch = plan.Batch(step);
    int64_t tokens = 0;
    double weight = 0;
    for (const int64_t row : batch.rows) {
      tokens += lengths[row];
      weight += static_cast<double>(lengths[row]) * 0.5;
    }
    EXPECT_EQ(batch.num_tokens, tokens);
    EXPECT_DOUBLE_EQ(batch.total_weight, weight);
    if (GetParam().batch_tokens == 0) {
      if (step + 1 < steps) {
        EXPECT_EQ(static_cast<int64_t>(batch.rows.size()), GetParam().batch_rows);
      }
    } else if (batch.rows.size() > 1) {
      EXPECT_LE(tokens, GetParam().batch_tokens);
      if (step + 1 < steps) {
        EXPECT_GT(tokens + lengths[plan.Rows(step + 1)[0]], GetParam().batch_tokens)
            << "the next row had room";
      }
    }
  }
}

TEST_P(BatchPlanTest, ShardsAreDisjointCompleteAndBalanced) {
  const BatchPlan plan = Plan(Options());
  for (int64_t step = 0; step < std::min<int64_t>(plan.TotalSteps(2), 60); ++step) {
    const GlobalBatch batch = plan.Batch(step);
    ASSERT_EQ(static_cast<int32_t>(batch.shards.size()), GetParam().shards);
    std::multiset<int64_t> seen, indices;
    int64_t lightest = INT64_MAX, heaviest = 0, longest = 0;
    for (const ShardPlan& shard : batch.shards) {
      int64_t tokens = 0;
      for (const MicroBatch& micro : shard.micro_batches) {
        ASSERT_FALSE(micro.rows.empty());
        int64_t real = 0, most = 0;
        for (const PlannedRow& row : micro.rows) {
          seen.insert(row.row);
          indices.insert(row.index_in_batch);
          EXPECT_EQ(batch.rows[row.index_in_batch], row.row);
          real += row.length;
          most = std::max(most, row.length);
        }
        longest = std::max(longest, most);
        EXPECT_EQ(micro.num_tokens, real);
        const int64_t cost =
            GetParam().layout == Layout::kPacked ? real : most * static_cast<int64_t>(micro.rows.size());
        EXPECT_EQ(micro.cost_tokens, cost);
        if (micro.rows.size() > 1) {
          EXPECT_LE(cost, GetParam().micro);
        }
        tokens += real;
      }
      EXPECT_EQ(shard.num_tokens, tokens);
      lightest = std::min(lightest, tokens);
      heaviest = std::max(heaviest, tokens);
    }
    EXPECT_EQ(seen, std::multiset<int64_t>(batch.rows.begin(), batch.rows.end()));
    EXPECT_EQ(std::set<int64_t>(indices.begin(), indices.end()).size(), batch.rows.size());
    EXPECT_LE(heaviest - lightest, longest) << "longest-first assignment keeps shards within one row";
  }
}

TEST_P(BatchPlanTest, MicroBatchBudgetChangesNeitherBatchNorShard) {
  const BatchPlan plan = Plan(Options());
  BatchPlanOptions other = Options();
  other.micro_batch_tokens = 97;
  other.layout = other.layout == Layout::kPacked ? Layout::kPadded : Layout::kPacked;
  const BatchPlan changed = Plan(other);
  const auto rows_of = [](const ShardPlan& shard) {
    std::set<int64_t> rows;
    for (const MicroBatch& micro : shard.micro_batches) {
      for (const PlannedRow& row : micro.rows) rows.insert(row.index_in_batch);
    }
    return rows;
  };
  for (int64_t step = 0; step < std::min<int64_t>(plan.TotalSteps(1), 40); ++step) {
    const GlobalBatch a = plan.Batch(step), b = changed.Batch(step);
    EXPECT_EQ(a.rows, b.rows);
    EXPECT_EQ(a.total_weight, b.total_weight);
    for (size_t s = 0; s < a.shards.size(); ++s) EXPECT_EQ(rows_of(a.shards[s]), rows_of(b.shards[s]));
  }
}

TEST_P(BatchPlanTest, ResumeAnywhereEqualsRunningThrough) {
  const BatchPlan through = Plan(Options());
  const int64_t steps = through.TotalSteps(2.5);
  std::vector<std::vector<int64_t>> rows;
  for (int64_t step = 0; step < steps; ++step) rows.push_back(through.Rows(step));
  std::mt19937 random(3);
  for (int i = 0; i < 20; ++i) {
    const int64_t step = static_cast<int64_t>(random() % steps);
    const BatchPlan fresh = Plan(Options());
    EXPECT_EQ(fresh.Rows(step), rows[step]) << "step " << step;
    EXPECT_EQ(fresh.Rows(0), rows[0]) << "going back";
  }
}

TEST_P(BatchPlanTest, SeedChangesTheOrder) {
  if (GetParam().num_rows < 8) GTEST_SKIP() << "too few rows to differ for sure";
  BatchPlanOptions other = Options();
  other.seed = kSeed + 1;
  const BatchPlan a = Plan(Options()), b = Plan(other);
  const auto epoch = [](const BatchPlan& plan) {
    std::vector<int64_t> order;
    for (int64_t step = 0; step < plan.TotalSteps(1); ++step) {
      for (const int64_t row : plan.Rows(step)) order.push_back(row);
    }
    return order;
  };
  EXPECT_NE(epoch(a), epoch(b));
}

INSTANTIATE_TEST_SUITE_P(Cases, BatchPlanTest,
                         testing::ValuesIn<PlanCase>({
                             {"RowsPacked", 203, 16, 0, 4, 512, Layout::kPacked},
                             {"RowsPadded", 203, 16, 0, 4, 512, Layout::kPadded},
                             {"OneRow", 1, 16, 0, 4, 64, Layout::kPacked},
                             {"FewerRowsThanShards", 3, 16, 0, 64, 64, Layout::kPacked},
                             {"BatchOfOne", 40, 1, 0, 1, 2048, Layout::kPadded},
                             {"WholeEpochBatch", 50, 50, 0, 8, 100, Layout::kPacked},
                             {"TokensPacked", 203, 0, 2000, 4, 512, Layout::kPacked},
                             {"TokensPadded", 203, 0, 900, 2, 300, Layout::kPadded},
                             {"TokensBelowLongestRow", 90, 0, 64, 2, 300, Layout::kPacked},
                         }),
                         [](const auto& info) { return info.param.name; });

// A batch whose shards hold micro-batches of these tokens.
GlobalBatch BatchOfShards(const std::vector<std::vector<int64_t>>& shards) {
  GlobalBatch batch;
  for (const std::vector<int64_t>& shard : shards) {
    ShardPlan& plan = batch.shards.emplace_back();
    for (const int64_t tokens : shard) plan.micro_batches.push_back({.cost_tokens = tokens});
  }
  return batch;
}

TEST(LanesTest, AsManyAsHaveRowsAndThreadsWithinTheTokensOfAMicroBatch) {
  const GlobalBatch batch = BatchOfShards({{500, 100}, {400}, {}, {300}});
  EXPECT_EQ(NumLanes(batch, 1, 2048), 1);
  EXPECT_EQ(NumLanes(batch, 2, 2048), 2);
  EXPECT_EQ(NumLanes(batch, 64, 2048), 3) << "a shard is empty";
  EXPECT_EQ(NumLanes(batch, 64, 1199), 2);
  EXPECT_EQ(NumLanes(batch, 64, 900), 2);
  EXPECT_EQ(NumLanes(batch, 64, 899), 1);
  EXPECT_EQ(NumLanes(batch, 64, 10), 1) << "a row longer than a micro-batch";
  EXPECT_EQ(NumLanes(BatchOfShards({{}, {}}), 4, 2048), 1);
  EXPECT_EQ(TokensAtOnce(batch, 1), 500);
  EXPECT_EQ(TokensAtOnce(batch, 2), 900);
  EXPECT_EQ(TokensAtOnce(batch, 9), 1200);
}

TEST(BatchPlanOptionsTest, PartialEpochsRoundUp) {
  const auto plan =
      BatchPlan::Create(std::vector<int64_t>(100, 5), std::vector<double>(100, 5.0), {.batch_rows = 10});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->TotalSteps(1), 10);
  EXPECT_EQ(plan->TotalSteps(0.1), 1);
  EXPECT_EQ(plan->TotalSteps(0.11), 2);
  EXPECT_EQ(plan->TotalSteps(0.0001), 1);
  EXPECT_EQ(plan->TotalSteps(2.3), 23);
  EXPECT_DOUBLE_EQ(plan->EpochOf(25), 2.5);
}

TEST(BatchPlanOptionsTest, BadOptionsAreNamed) {
  struct Case {
    std::vector<int64_t> lengths;
    std::vector<double> sums;
    BatchPlanOptions options;
    std::string want;
  };
  const std::vector<Case> cases = {
      {{}, {}, {}, "there is no row"},
      {{1}, {1.0, 2.0}, {}, "1 row lengths but 2 weight sums"},
      {{0}, {1.0}, {}, "row 0 has 0 tokens"},
      {{1}, {-1.0}, {}, "weight sum -1"},
      {{1}, {1.0}, {.batch_rows = 0}, "batch.rows = 0"},
      {{1}, {1.0}, {.batch_tokens = -5}, "batch.tokens = -5"},
      {{1}, {1.0}, {.virtual_shards = 3}, "virtual_shards = 3"},
      {{1}, {1.0}, {.virtual_shards = 128}, "virtual_shards = 128"},
      {{1}, {1.0}, {.micro_batch_tokens = 0}, "micro_batch_tokens = 0"},
  };
  for (const Case& c : cases) {
    const auto plan = BatchPlan::Create(c.lengths, c.sums, c.options);
    EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(plan.status().message()), testing::HasSubstr(c.want));
  }
}

}  // namespace
}  // namespace vernier::data
