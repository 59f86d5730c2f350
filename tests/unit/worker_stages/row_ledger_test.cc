#include "worker/stages/train/row_ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "storage/checkpoint.h"
#include "storage/layout.h"
#include "tests/unit/worker_stages/stage_world.h"
#include "worker/stages/start.h"

namespace vernier::stages {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::Gt;
using testing::HasSubstr;
using testing::SizeIs;

v1::Artifact LedgerArtifact(const Attempt& attempt) {
  for (const v1::TaskEvent& event : attempt.context.events()) {
    if (event.has_artifact() && event.artifact().name() == "ledger") return event.artifact();
  }
  ADD_FAILURE() << "no ledger was published";
  return {};
}

std::string LedgerBytes(StageWorld& world, const Attempt& attempt) {
  const auto bytes =
      world.store.Get(absl::StrCat(LedgerArtifact(attempt).key(), "/ledger.safetensors"), 1 << 20);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return bytes.value_or("");
}

storage::Ledger ReadBack(const std::string& bytes) {
  const auto file = storage::SafetensorsFile::Parse(bytes, "ledger");
  VN_CHECK_OK(file.status());
  auto ledger = storage::ReadLedger(*file, "ledger");
  VN_CHECK_OK(ledger.status());
  return *std::move(ledger);
}

v1::TrainStage Stage() {
  v1::TrainStage stage = SmallStage();
  stage.set_max_steps(10);  // two epochs of 20 rows in steps of 4
  return stage;
}

TEST(RowLedgerTest, TellsEveryVisitOfEveryRowAndWhatItCost) {
  StageWorld world;
  world.rows[7].weight = 0.5f;
  world.Prepare();
  const auto attempt = world.Run(world.TrainTask(Stage()));
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  const storage::Ledger ledger = ReadBack(LedgerBytes(world, *attempt));
  EXPECT_EQ(ledger.train->size(), 20);
  EXPECT_EQ(ledger.train->line[7], 8);
  EXPECT_EQ(ledger.train->weight[7], 0.5f * static_cast<float>(ledger.train->trained_tokens[7]));
  EXPECT_THAT(ledger.step, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
  std::map<int32_t, int> visits;
  for (const int32_t row : ledger.visit_row) ++visits[row];
  EXPECT_THAT(visits, SizeIs(20));
  for (const auto& [row, count] : visits) EXPECT_EQ(count, 2) << "row " << row;

  // The losses of a step's rows, by their weights, are the loss of the step.
  const auto losses = attempt->context.metric("train_loss");
  int64_t visit = 0;
  for (size_t i = 0; i < ledger.step.size(); ++i) {
    double sum = 0, weight = 0;
    for (; visit < ledger.step_end[i]; ++visit) {
      const double w = ledger.train->weight[ledger.visit_row[visit]];
      sum += w * ledger.visit_loss[visit];
      weight += w;
    }
    EXPECT_NEAR(sum / weight, losses[i].second, 1e-5) << "step " << ledger.step[i];
  }
}

TEST(RowLedgerTest, HasTheValidationRowsBeforeAtBestAndNow) {
  StageWorld world;
  const auto attempt = world.Run(world.TrainTask(Stage()));
  const storage::Ledger ledger = ReadBack(LedgerBytes(world, *attempt));
  EXPECT_EQ(ledger.first.step, 0);
  EXPECT_EQ(ledger.newest.step, 10);
  EXPECT_EQ(static_cast<double>(ledger.best.step), attempt->outcome.results.at("best_step"));
  double sum = 0, weight = 0;
  for (int64_t row = 0; row < ledger.validation->size(); ++row) {
    sum += static_cast<double>(ledger.validation->weight[row]) * ledger.best.loss[row];
    weight += ledger.validation->weight[row];
  }
  EXPECT_NEAR(sum / weight, attempt->outcome.results.at("valid_loss"), 1e-5);
}

TEST(RowLedgerTest, StoppedAndResumedItHasTheBytesOfTheUndisturbedRun) {
  StageWorld world;
  const auto whole = world.Run(world.TrainTask(Stage()));
  const std::string want = LedgerBytes(world, *whole);
  for (const int64_t stop_at : {0, 1, 4, 7, 9}) {
    SCOPED_TRACE(absl::StrCat("stopped at step ", stop_at));
    const auto first = world.Run(world.TrainTask(Stage()), {}, [&](Attempt& attempt) {
      attempt.context.on_event = [&attempt, stop_at](const v1::TaskEvent& event) {
        if (event.has_metric() && event.metric().step() >= stop_at) attempt.context.stop = true;
      };
    });
    ASSERT_TRUE(first->outcome.stopped);
    v1::Task rest = world.TrainTask(Stage());
    const v1::CheckpointInfo checkpoint = first->context.checkpoints().back();
    rest.mutable_train()->set_resume_key(checkpoint.key());
    rest.mutable_train()->set_resume_manifest_sha256(checkpoint.manifest_sha256());
    const auto second = world.Run(rest);
    ASSERT_TRUE(second->status.ok()) << second->status;
    EXPECT_EQ(LedgerBytes(world, *second), want);
  }
}

TEST(RowLedgerTest, ASkippedStepTrainedNothing) {
  StageWorld world;
  v1::TrainStage stage = Stage();
  stage.set_on_nonfinite(v1::ON_NONFINITE_SKIP);
  const auto attempt = world.Run(world.TrainTask(stage),
                                 trainer::FaultHooks::Parse("nan@step=3,point=after_backward").value());
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  EXPECT_THAT(ReadBack(LedgerBytes(world, *attempt)).step, ElementsAre(1, 2, 4, 5, 6, 7, 8, 9, 10));
}

TEST(RowLedgerTest, PreviewsShowTheWorstRowsFirst) {
  StageWorld world;
  world.rows[3].answer = "zq#~ZQ";
  world.Prepare();
  v1::TrainStage stage = Stage();
  stage.set_max_steps(40);
  const auto attempt = world.Run(world.TrainTask(stage));
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  const auto lines =
      world.store.Get(absl::StrCat(LedgerArtifact(*attempt).key(), "/previews.jsonl"), 1 << 20);
  ASSERT_TRUE(lines.ok()) << lines.status();
  const std::vector<std::string> split = absl::StrSplit(*lines, '\n', absl::SkipEmpty());
  ASSERT_EQ(split.size(), 26u);  // 20 to train on, 6 of validation
  const auto worst = nlohmann::json::parse(split[0]);
  EXPECT_EQ(worst["split"], "train");
  EXPECT_EQ(worst["line"], 4);
  EXPECT_EQ(worst["answer"], "zq#~ZQ");
  EXPECT_EQ(worst["prompt"], "3 is");
  EXPECT_EQ(nlohmann::json::parse(split[20])["split"], "validation");
}

class FilledLedgerTest : public testing::Test {
 protected:
  FilledLedgerTest() {
    train_.emplace(
        data::PreparedRows::Open(world_.store, StageWorld::kPrepared, data::Split::kTrain).value());
    validation_.emplace(
        data::PreparedRows::Open(world_.store, StageWorld::kPrepared, data::Split::kValidation).value());
  }
  StageWorld world_;
  std::optional<data::PreparedRows> train_, validation_;
};

TEST_F(FilledLedgerTest, SaysOnceThatItIsFullAndKeepsWhatItHas) {
  RowLedger ledger(*train_, *validation_, /*max_visits=*/3);
  const std::vector<int64_t> rows = {4, 5};
  const std::vector<objectives::RowSums> sums(2, {.weighted_nll = 3, .weight = 2});
  EXPECT_TRUE(ledger.AddStep(1, rows, sums));
  EXPECT_TRUE(ledger.AddStep(2, rows, sums));
  EXPECT_FALSE(ledger.AddStep(3, rows, sums));
  EXPECT_TRUE(ledger.AddStep(4, rows, sums));
  EXPECT_THAT(ledger.ledger().step, ElementsAre(1, 2));
  EXPECT_THAT(ledger.ledger().visit_loss, Each(1.5f));
}

// A row of a step takes a millisecond and more to train.
TEST_F(FilledLedgerTest, AVisitCostsLessThanAMicrosecond) {
  constexpr int kSteps = 20'000;
  RowLedger ledger(*train_, *validation_);
  const std::vector<int64_t> rows = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  const std::vector<objectives::RowSums> sums(rows.size(), {.weighted_nll = 3, .weight = 2});
  const Stopwatch stopwatch;
  for (int step = 1; step <= kSteps; ++step) ledger.AddStep(step, rows, sums);
  const double nanoseconds = 1e9 * stopwatch.Seconds() / (kSteps * static_cast<double>(rows.size()));
  RecordProperty("nanoseconds_a_visit", absl::StrCat(nanoseconds));
  EXPECT_LT(nanoseconds, 1000);
}

TEST_F(FilledLedgerTest, RefusesALedgerOfOtherRows) {
  RowLedger ledger(*train_, *validation_), other(*validation_, *train_);
  const absl::Status status = ledger.Restore(other.ledger(), "checkpoints/x");
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("checkpoints/x: its ledger is of other rows"));
}

}  // namespace
}  // namespace vernier::stages
