#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "common/file.h"
#include "worker/stages/evaluate/metric.h"
#include "worker/stages/evaluate/text_metrics.h"

namespace vernier::stages {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

double Score(absl::string_view metric, const std::vector<JudgedRow>& rows) {
  const auto found = FindMetric(metric);
  EXPECT_TRUE(found.ok()) << found.status();
  return (*found)->of_all(rows);
}

TEST(MetricRegistryTest, AnUnknownNameListsTheKnownOnes) {
  const auto found = FindMetric("bleu");
  EXPECT_EQ(found.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(found.status().message(), HasSubstr("\"bleu\""));
  EXPECT_THAT(found.status().message(), HasSubstr("rouge_l"));
}

TEST(MetricRegistryTest, HasTheMetricsOfTheSchema) {
  EXPECT_THAT(KnownMetrics(), ElementsAre("loss", "perplexity", "token_accuracy", "exact_match", "rouge_l"));
}

TEST(TokenMetricsTest, SumsOverRowsAreDividedOnce) {
  const std::vector<JudgedRow> rows = {
      {.sums = {.weighted_nll = 6.0, .weight = 2.0, .nll = 3.0, .num_targets = 1, .num_correct = 1}},
      {.sums = {.weighted_nll = 1.0, .weight = 1.0, .nll = 2.0, .num_targets = 4, .num_correct = 1}}};
  EXPECT_DOUBLE_EQ(Score("loss", rows), 7.0 / 3.0);
  EXPECT_DOUBLE_EQ(Score("token_accuracy", rows), 2.0 / 5.0);
  EXPECT_DOUBLE_EQ(Score("perplexity", rows), std::exp(1.0));
}

TEST(TokenMetricsTest, RowsWithoutTrainedTokensAreNoDivisionByZero) {
  const std::vector<JudgedRow> rows(2);
  EXPECT_EQ(Score("loss", rows), 0.0);
  EXPECT_EQ(Score("token_accuracy", rows), 0.0);
  EXPECT_EQ(Score("perplexity", rows), 1.0);
}

TEST(ExactMatchTest, IsTheShareOfEqualTexts) {
  const std::vector<JudgedRow> rows = {{.reference = "a b", .prediction = "a b"},
                                       {.reference = "a b", .prediction = "A b"},
                                       {.reference = "", .prediction = ""},
                                       {.reference = "a", .prediction = "a."}};
  EXPECT_DOUBLE_EQ(Score("exact_match", rows), 0.5);
}

TEST(RougeLTest, EqualsTheValuesComputedByHand) {
  // Common subsequence "police the gunman": 3 of 4 and 3 of 4.
  EXPECT_DOUBLE_EQ(RougeL("police killed the gunman", "police kill the gunman"), 0.75);
  // "the gunman": 2 of 4 and 2 of 4.
  EXPECT_DOUBLE_EQ(RougeL("police killed the gunman", "the gunman kill police"), 0.5);
  // "a b" of 2 and of 3: P = 2/3, R = 1.
  EXPECT_DOUBLE_EQ(RougeL("a b", "a x b"), 0.8);
  EXPECT_EQ(RougeL("", "a"), 0.0);
  EXPECT_EQ(RougeL("...", "..."), 0.0);
}

TEST(RougeLTest, EqualsAnIndependentImplementation) {
  const auto text = ReadFile(VERNIER_SOURCE_DIR "/tests/golden/worker_stages/rouge_l.json");
  ASSERT_TRUE(text.ok()) << text.status();
  const nlohmann::json pairs = nlohmann::json::parse(*text);
  ASSERT_GT(pairs.size(), 50u);
  for (const nlohmann::json& pair : pairs) {
    EXPECT_NEAR(RougeL(pair["reference"].get<std::string>(), pair["prediction"].get<std::string>()),
                pair["rouge_l"].get<double>(), 1e-12)
        << pair;
  }
}

}  // namespace
}  // namespace vernier::stages
