#include "worker/stages/train/train_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vernier::stages {
namespace {

using testing::HasSubstr;
using testing::Not;

TrainState Example() {
  TrainState state;
  state.step = 12;
  state.num_updates = 11;
  state.num_tokens = 1 << 20;
  state.num_rows = 192;
  state.num_skipped = 1;
  state.train_seconds = 0.1 + 0.2;  // not a short decimal
  state.train_loss = 1.0 / 3.0;
  state.first = Validation{
      0, {.weighted_nll = 1e-300, .weight = 3, .nll = 2.0 / 7.0, .num_targets = 5, .num_correct = 2}};
  state.newest =
      Validation{10, {.weighted_nll = 0.5, .weight = 3, .nll = 0.5, .num_targets = 5, .num_correct = 3}};
  state.best = state.newest;
  state.stop_rule = {.seen = true, .best = 1.0 / 6.0, .stale = 1};
  return state;
}

TEST(TrainStateTest, SurvivesJsonExactly) {
  const nlohmann::json json = ToJson(Example(), {{"seed", "17"}});
  const auto read = TrainStateFromJson(nlohmann::json::parse(json.dump()), "state.json");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(ToJson(*read, {{"seed", "17"}}), json);
  EXPECT_EQ(read->train_loss, 1.0 / 3.0);
  EXPECT_EQ(read->first->sums.weighted_nll, 1e-300);
}

TEST(TrainStateTest, AbsentValuesStayAbsent) {
  const auto read = TrainStateFromJson(ToJson({}, {}), "state.json");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_FALSE(read->train_loss.has_value());
  EXPECT_FALSE(read->best.has_value());
  EXPECT_FALSE(read->stop_rule.seen);
}

TEST(TrainStateTest, AMissingOrMisshapenMemberIsDataLossAndNamed) {
  nlohmann::json json = ToJson(Example(), {});
  json.erase("num_tokens");
  const auto missing = TrainStateFromJson(json, "c/state.json");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(missing.status().message(), HasSubstr("c/state.json.num_tokens"));
  json = ToJson(Example(), {});
  json["best_validation"]["weight"] = "much";
  EXPECT_THAT(TrainStateFromJson(json, "s").status().message(), HasSubstr("s.best_validation.weight"));
}

TEST(TrainStateTest, AnotherIdentityIsRefusedWithBothValues) {
  const nlohmann::json json =
      ToJson({}, {{"numeric_class", "threads=2"}, {"seed", "17"}, {"stage.epochs", "2"}});
  EXPECT_TRUE(
      CheckIdentity(json, {{"numeric_class", "threads=2"}, {"seed", "17"}, {"stage.epochs", "2"}}, "c").ok());
  const absl::Status other = CheckIdentity(json, {{"numeric_class", "threads=4"}, {"seed", "17"}}, "c");
  EXPECT_EQ(other.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(other.message(), HasSubstr("threads=2"));
  EXPECT_THAT(other.message(), HasSubstr("threads=4"));
  EXPECT_THAT(other.message(), HasSubstr("stage.epochs was 2, is nothing"));
  EXPECT_THAT(other.message(), Not(HasSubstr("seed")));
}

}  // namespace
}  // namespace vernier::stages
