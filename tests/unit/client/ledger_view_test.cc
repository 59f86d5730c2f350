#include "client/ledger_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace vernier::client {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Optional;

// Rows of lines 1, 3, 3 (one split in two) and 5; two steps of two rows, one of one. Row 3 was never trained.
StageLedger Example() {
  auto train = std::make_shared<storage::LedgerRows>();
  *train = {
      .line = {1, 3, 3, 5}, .tokens = {9, 8, 7, 6}, .trained_tokens = {4, 4, 2, 1}, .weight = {4, 4, 2, 1}};
  auto validation = std::make_shared<storage::LedgerRows>();
  *validation = {.line = {2, 4}, .tokens = {5, 5}, .trained_tokens = {2, 2}, .weight = {1, 3}};
  StageLedger stage{.stage = "sft"};
  stage.ledger.train = train;
  stage.ledger.validation = validation;
  stage.ledger.step = {1, 2, 4};
  stage.ledger.step_end = {2, 4, 5};
  stage.ledger.visit_row = {0, 1, 2, 0, 1};
  stage.ledger.visit_loss = {3, 2, 5, 1, 2.5f};
  stage.ledger.first = {.step = 0, .loss = {4, 2}};
  stage.ledger.best = {.step = 2, .loss = {1, 1}};
  stage.ledger.newest = {.step = 4, .loss = {1.5f, 3}};
  stage.previews = {{.split = "validation", .row = 2, .answer = "no"},
                    {.split = "train", .row = 2, .answer = "yes"}};
  return stage;
}

std::vector<int64_t> RowsOf(const std::vector<RowVisits>& rows) {
  std::vector<int64_t> found;
  for (const RowVisits& row : rows) found.push_back(row.row);
  return found;
}

std::vector<std::pair<int64_t, double>> VisitsOf(const RowVisits& row) {
  std::vector<std::pair<int64_t, double>> visits;
  for (const Visit& visit : row.visits) visits.emplace_back(visit.step, visit.loss);
  return visits;
}

TEST(RowsOfLineTest, TellsEveryStepThatTrainedTheRow) {
  const StageLedger stage = Example();
  const std::vector<RowVisits> rows = RowsOfLine(stage, 3, /*validation=*/false);
  ASSERT_THAT(RowsOf(rows), ElementsAre(1, 2)) << "both pieces of the line";
  EXPECT_THAT(VisitsOf(rows[0]), ElementsAre(std::pair(1, 2.0), std::pair(4, 2.5)));
  EXPECT_THAT(VisitsOf(rows[1]), ElementsAre(std::pair(2, 5.0)));
  EXPECT_THAT(rows[0].before, Optional(DoubleEq(2)));
  EXPECT_THAT(rows[0].after, Optional(DoubleEq(2.5)));
  EXPECT_EQ(rows[1].preview->answer, "yes");
  EXPECT_EQ(rows[0].preview, nullptr);
}

TEST(RowsOfLineTest, ARowThatNoStepTrainedHasNoVisit) {
  const StageLedger stage = Example();
  const std::vector<RowVisits> rows = RowsOfLine(stage, 5, false);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_THAT(rows[0].visits, IsEmpty());
  EXPECT_FALSE(rows[0].before.has_value());
  EXPECT_THAT(RowsOfLine(stage, 4, false), IsEmpty()) << "it is held out";
}

TEST(RowsOfLineTest, AValidationRowIsJudgedFirstBestAndNewest) {
  StageLedger stage = Example();
  EXPECT_THAT(VisitsOf(RowsOfLine(stage, 4, true)[0]),
              ElementsAre(std::pair(0, 2.0), std::pair(2, 1.0), std::pair(4, 3.0)));
  stage.ledger.best = stage.ledger.newest;
  EXPECT_THAT(VisitsOf(RowsOfLine(stage, 4, true)[0]), ElementsAre(std::pair(0, 2.0), std::pair(4, 3.0)));
}

TEST(WorstRowsTest, TheHighestNewestLossComesFirst) {
  const StageLedger stage = Example();
  EXPECT_THAT(RowsOf(WorstRows(stage, 10, false)), ElementsAre(2, 1, 0));
  EXPECT_THAT(RowsOf(WorstRows(stage, 1, false)), ElementsAre(2));
  EXPECT_THAT(RowsOf(WorstRows(stage, 10, true)), ElementsAre(1, 0));
}

TEST(WorstRowsTest, RowsWithoutTrainedTokensAreLeftOut) {
  StageLedger stage = Example();
  auto train = std::make_shared<storage::LedgerRows>(*stage.ledger.train);
  train->trained_tokens[2] = 0;
  stage.ledger.train = train;
  EXPECT_THAT(RowsOf(WorstRows(stage, 10, false)), ElementsAre(1, 0));
}

TEST(SummariseTest, CountsAndWeighs) {
  const LedgerSummary summary = Summarise(Example());
  EXPECT_EQ(summary.num_rows, 4);
  EXPECT_EQ(summary.num_trained, 3);
  EXPECT_EQ(summary.num_visits, 5);
  EXPECT_EQ(summary.least_visits, 0);
  EXPECT_EQ(summary.most_visits, 2);
  EXPECT_EQ(summary.num_steps, 3);
  EXPECT_EQ(summary.last_step, 4);
  EXPECT_EQ(summary.num_risen, 1);
  EXPECT_THAT(summary.before, Optional(DoubleEq((4 * 3 + 4 * 2 + 2 * 5) / 10.0)));
  EXPECT_THAT(summary.after, Optional(DoubleEq((4 * 1 + 4 * 2.5 + 2 * 5) / 10.0)));
  EXPECT_THAT(summary.validation_before, Optional(DoubleEq((1 * 4 + 3 * 2) / 4.0)));
  EXPECT_THAT(summary.validation_after, Optional(DoubleEq((1 * 1.5 + 3 * 3) / 4.0)));
}

TEST(SummariseTest, BeforeTheFirstStepThereIsNothingToSay) {
  StageLedger stage;
  stage.ledger.train = std::make_shared<storage::LedgerRows>();
  stage.ledger.validation = std::make_shared<storage::LedgerRows>();
  const LedgerSummary summary = Summarise(stage);
  EXPECT_EQ(summary.num_visits, 0);
  EXPECT_FALSE(summary.before.has_value());
  EXPECT_FALSE(summary.validation_before.has_value());
}

}  // namespace
}  // namespace vernier::client
