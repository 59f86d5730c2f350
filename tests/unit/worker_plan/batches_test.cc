#include "worker/plan/batches.h"

#include <gtest/gtest.h>

#include "tests/unit/worker_plan/smollm2.h"

namespace vernier::plan {
namespace {

Batches Of(const v1::DataReport& report, const std::string& stage = "") {
  const auto batches = BatchesOf(&report, 0, Stage(stage), /*seed=*/17);
  if (!batches.ok()) ADD_FAILURE() << batches.status();
  return batches.ok() ? *batches : Batches();
}

TEST(BatchesTest, CountsStepsAndTokensOfEqualRows) {
  const Batches batches = Of(RowsOf(160, 100));
  EXPECT_EQ(batches.steps, 10);
  EXPECT_EQ(batches.tokens, 16000);
  EXPECT_EQ(batches.squared_tokens, 160.0 * 100 * 100);
  EXPECT_EQ(batches.longest_row, 100);
  EXPECT_EQ(batches.largest_micro_batch, 400) << "16 rows on 4 shards";
  EXPECT_EQ(batches.labelled_share, 0.5);
  EXPECT_TRUE(batches.measured);
}

TEST(BatchesTest, AMicroBatchIsNoLargerThanAskedFor) {
  EXPECT_EQ(Of(RowsOf(160, 100), "micro_batch_tokens: 256").largest_micro_batch, 200);
  EXPECT_EQ(Of(RowsOf(160, 100), "micro_batch_tokens: 64").largest_micro_batch, 100) << "a row is never cut";
}

TEST(BatchesTest, ThreadsComputeShardsAtOnceWhereAdaptersTrain) {
  const v1::TrainStage lora = Stage(""), full = Stage("tuning { full {} }");
  const Batches batches = Of(RowsOf(160, 100));  // 4 shards of 400
  EXPECT_EQ(AtOnceOn(batches, lora, 1).tokens, 400);
  EXPECT_EQ(AtOnceOn(batches, lora, 2).tokens, 800);
  EXPECT_EQ(AtOnceOn(batches, lora, 2).lanes, 2);
  EXPECT_EQ(AtOnceOn(batches, lora, 100).tokens, 1600);
  EXPECT_EQ(AtOnceOn(batches, full, 2).tokens, 400);
  EXPECT_EQ(AtOnceOn(batches, Stage("threads: 1"), 2).tokens, 400) << "the stage's own number";
  const Batches narrow = Of(RowsOf(160, 100), "micro_batch_tokens: 500");
  EXPECT_EQ(AtOnceOn(narrow, lora, 2).tokens, 400) << "two would be 800";
}

TEST(BatchesTest, MaxStepsAndEpochsCount) {
  EXPECT_EQ(Of(RowsOf(160, 100), "max_steps: 25").tokens, 25 * 1600);
  EXPECT_EQ(Of(RowsOf(160, 100), "epochs: 2.5").steps, 25);
}

TEST(BatchesTest, ManyRowsAreRepresentedByFewer) {
  const Batches batches = Of(RowsOf(1'000'000, 100));
  EXPECT_NEAR(static_cast<double>(batches.steps), 62500, 10);
  EXPECT_NEAR(static_cast<double>(batches.tokens), 1e8, 1e5);
}

TEST(BatchesTest, RowsOfABucketAreSpreadAroundItsMean) {
  auto report = Parsed<v1::DataReport>(R"(
    num_rows: 300 num_tokens: 60000 max_row_tokens: 480
    lengths { max_tokens: 128 num_rows: 100 num_tokens: 10000 }
    lengths { max_tokens: 256 num_rows: 100 num_tokens: 18000 }
    lengths { max_tokens: 512 num_rows: 100 num_tokens: 32000 })");
  const Batches batches = Of(report, "batch { rows: 20 } virtual_shards: 1");
  EXPECT_NEAR(static_cast<double>(batches.tokens), 60000, 600);
  EXPECT_EQ(batches.longest_row, 480);
  EXPECT_LE(batches.largest_micro_batch, 2048);
  EXPECT_GT(batches.largest_micro_batch, 1800);
}

TEST(BatchesTest, MaxTokensCutsOrDropsWhatTheReportCounted) {
  EXPECT_EQ(Of(RowsOf(160, 100), "data { max_tokens: 40 on_overlong: ON_OVERLONG_TRUNCATE }").tokens,
            160 * 40);
  const Batches split =
      Of(RowsOf(160, 100), "data { max_tokens: 40 on_overlong: ON_OVERLONG_SPLIT } batch { rows: 480 }");
  EXPECT_EQ(split.longest_row, 40);
  const Batches dropped = Of(RowsOf(160, 100), "data { max_tokens: 40 on_overlong: ON_OVERLONG_DROP }");
  EXPECT_FALSE(dropped.measured) << "nothing is left of it";
}

TEST(BatchesTest, WithoutAReportEveryRowIsAsLongAsItMayBe) {
  const auto batches = BatchesOf(nullptr, 64, Stage("data { max_tokens: 500 }"), 17);
  ASSERT_TRUE(batches.ok()) << batches.status();
  EXPECT_FALSE(batches->measured);
  EXPECT_EQ(batches->steps, 4);
  EXPECT_EQ(batches->longest_row, 500);
  EXPECT_EQ(batches->largest_micro_batch, 2000);
}

TEST(BatchesTest, AnAbsurdReportIsBounded) {
  v1::DataReport report;
  report.set_num_rows(-5);
  report.set_num_validation_tokens(INT64_MAX);
  report.set_max_row_tokens(-1);
  for (int i = 0; i < 1000; ++i) {
    v1::LengthBucket& bucket = *report.add_lengths();
    bucket.set_max_tokens(i % 2 == 0 ? INT64_MAX : INT64_MIN);
    bucket.set_num_rows(INT64_MAX);
    bucket.set_num_tokens(INT64_MIN);
  }
  for (const char* stage : {"", "data { max_tokens: 1 on_overlong: ON_OVERLONG_SPLIT }"}) {
    const auto batches = BatchesOf(&report, 0, Stage(stage), 17);
    ASSERT_TRUE(batches.ok()) << batches.status();
    EXPECT_GT(batches->steps, 0);
  }
}

TEST(BatchesTest, RowsThatBecomeBillionsOfPiecesAreRepresentedByFewer) {
  const auto report = Parsed<v1::DataReport>(R"(
    num_rows: 16384 num_tokens: 17592186044416 max_row_tokens: 1073741824
    lengths { max_tokens: 1073741824 num_rows: 16384 num_tokens: 17592186044416 })");
  const Batches batches = Of(report, "data { max_tokens: 8 on_overlong: ON_OVERLONG_SPLIT }");
  EXPECT_EQ(batches.longest_row, 8);
  EXPECT_EQ(batches.steps, 1024);
  EXPECT_EQ(batches.tokens, 16384 * 8);
}

TEST(BatchesTest, PiecesThatStandForOthersHaveTheirLengths) {
  // 20 pieces of 40 tokens and one of 10, of each of 10,000 rows: more than are looked at one by one.
  const Batches batches = Of(RowsOf(10'000, 810), "data { max_tokens: 40 on_overlong: ON_OVERLONG_SPLIT }");
  EXPECT_EQ(batches.longest_row, 40);
  EXPECT_NEAR(static_cast<double>(batches.tokens) / static_cast<double>(batches.steps), 16 * 810.0 / 21, 8);
}

TEST(BatchesTest, OneEpochStandsForAThousand) {
  auto report = Parsed<v1::DataReport>(R"(
    num_rows: 200 num_tokens: 20000 max_row_tokens: 180
    lengths { max_tokens: 256 num_rows: 200 num_tokens: 20000 })");
  const int64_t once = Of(report, "batch { tokens: 256 }").steps;
  EXPECT_EQ(Of(report, "batch { tokens: 256 } epochs: 1000").steps, 1000 * once);
  EXPECT_EQ(Of(RowsOf(160, 100), "epochs: 0.3").steps, 3);
  EXPECT_EQ(Of(RowsOf(160, 100), "epochs: 0.31").steps, 4);
}

TEST(BatchesTest, OneLongRowAmongManyIsAMicroBatch) {
  const auto report = Parsed<v1::DataReport>(R"(
    num_rows: 100000 num_tokens: 20007992 max_row_tokens: 8192
    lengths { max_tokens: 256 num_rows: 99999 num_tokens: 19999800 }
    lengths { max_tokens: 8192 num_rows: 1 num_tokens: 8192 })");
  // Whether it is among the steps that are looked at or not.
  for (uint64_t seed = 17; seed < 25; ++seed) {
    const auto batches = BatchesOf(&report, 0, Stage("batch { rows: 4 }"), seed);
    ASSERT_TRUE(batches.ok()) << batches.status();
    EXPECT_EQ(batches->largest_micro_batch, 8192) << seed;
  }
}

}  // namespace
}  // namespace vernier::plan
