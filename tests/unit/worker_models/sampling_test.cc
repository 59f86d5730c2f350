#include "worker/models/sampling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>

namespace vernier::models {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Logits whose probabilities at temperature 1 are these.
std::vector<float> LogitsOf(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p) + 3.0));
  return logits;
}

// How often each id is picked over `count` positions, as a fraction.
std::map<int64_t, double> Frequencies(const std::vector<float>& logits, const GenerateOptions& options,
                                      int count = 20000) {
  std::map<int64_t, double> frequencies;
  for (int position = 0; position < count; ++position) {
    frequencies[*PickToken(logits, options, position)] += 1.0 / count;
  }
  return frequencies;
}

std::set<int64_t> Picked(const std::vector<float>& logits, const GenerateOptions& options) {
  std::set<int64_t> ids;
  for (const auto& [id, frequency] : Frequencies(logits, options, 2000)) ids.insert(id);
  return ids;
}

TEST(PickTokenTest, GreedyTakesTheLargestAndTheLowerIdOfEquals) {
  EXPECT_EQ(*PickToken({0.5f, 2.0f, -1.0f, 2.0f}, {}, 0), 1);
  EXPECT_EQ(*PickToken({-kInfinity, -4.0f}, {}, 0), 1);
}

TEST(PickTokenTest, SamplingFollowsTheProbabilities) {
  const auto got = Frequencies(LogitsOf({0.1, 0.2, 0.7}), {.temperature = 1.0});
  EXPECT_NEAR(got.at(0), 0.1, 0.01);
  EXPECT_NEAR(got.at(1), 0.2, 0.01);
  EXPECT_NEAR(got.at(2), 0.7, 0.01);
}

TEST(PickTokenTest, TemperatureSharpensAndFlattens) {
  // p^2 / sum p^2 of (0.25, 0.75), and the square roots likewise.
  EXPECT_NEAR(Frequencies(LogitsOf({0.25, 0.75}), {.temperature = 0.5}).at(0), 0.1, 0.01);
  EXPECT_NEAR(Frequencies(LogitsOf({0.25, 0.75}), {.temperature = 2.0}).at(0), 0.366, 0.01);
}

TEST(PickTokenTest, TopKKeepsTheKLikeliestTiesByLowerId) {
  EXPECT_THAT(Picked(LogitsOf({0.1, 0.4, 0.2, 0.3}), {.temperature = 1.0, .top_k = 2}),
              UnorderedElementsAre(1, 3));
  EXPECT_THAT(Picked({1.0f, 1.0f, 1.0f, 1.0f}, {.temperature = 1.0, .top_k = 3}),
              UnorderedElementsAre(0, 1, 2));
  EXPECT_THAT(Picked(LogitsOf({0.5, 0.5}), {.temperature = 1.0, .top_k = 100}), UnorderedElementsAre(0, 1));
}

TEST(PickTokenTest, TopPKeepsTheSmallestSetThatReachesIt) {
  const std::vector<float> logits = LogitsOf({0.1, 0.4, 0.2, 0.3});
  EXPECT_THAT(Picked(logits, {.temperature = 1.0, .top_p = 0.39}), UnorderedElementsAre(1));
  EXPECT_THAT(Picked(logits, {.temperature = 1.0, .top_p = 0.65}), UnorderedElementsAre(1, 3));
  EXPECT_THAT(Picked(logits, {.temperature = 1.0, .top_p = 0.75}), UnorderedElementsAre(1, 2, 3));
  EXPECT_THAT(Picked(logits, {.temperature = 1.0, .top_p = 1e-9}), UnorderedElementsAre(1));
}

TEST(PickTokenTest, TopPCountsAfterTopK) {
  // Of (0.4, 0.3) kept by top_k the first has 0.57.
  const std::vector<float> logits = LogitsOf({0.1, 0.4, 0.2, 0.3});
  EXPECT_THAT(Picked(logits, {.temperature = 1.0, .top_p = 0.55, .top_k = 2}), UnorderedElementsAre(1));
  EXPECT_THAT(Picked(logits, {.temperature = 1.0, .top_p = 0.6, .top_k = 2}), UnorderedElementsAre(1, 3));
}

TEST(PickTokenTest, KeptTokensShareTheProbability) {
  const auto got = Frequencies(LogitsOf({0.1, 0.4, 0.2, 0.3}), {.temperature = 1.0, .top_k = 2});
  EXPECT_NEAR(got.at(1), 4.0 / 7.0, 0.015);
  EXPECT_NEAR(got.at(3), 3.0 / 7.0, 0.015);
}

TEST(PickTokenTest, ADrawDependsOnSeedAndPositionAlone) {
  const std::vector<float> logits(1000, 0.0f);
  const GenerateOptions one = {.temperature = 1.0, .seed = 1};
  const GenerateOptions two = {.temperature = 1.0, .seed = 2};
  int same_seed = 0, same_position = 0;
  for (int64_t position = 0; position < 100; ++position) {
    EXPECT_EQ(*PickToken(logits, one, position), *PickToken(logits, one, position));
    same_seed += *PickToken(logits, one, position) == *PickToken(logits, one, position + 1);
    same_position += *PickToken(logits, one, position) == *PickToken(logits, two, position);
  }
  EXPECT_LT(same_seed, 5);
  EXPECT_LT(same_position, 5);
}

TEST(PickTokenTest, AnImpossibleTokenIsNeverPicked) {
  EXPECT_THAT(Picked({-kInfinity, 0.0f, -kInfinity, 0.0f, -kInfinity}, {.temperature = 1.0}),
              UnorderedElementsAre(1, 3));
}

TEST(PickTokenTest, LogitsThatAreNoNumbersAreAnError) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::vector<float>& logits :
       {std::vector<float>{0.0f, nan}, {nan, 0.0f}, {0.0f, kInfinity}, {-kInfinity, -kInfinity}, {}}) {
    const absl::StatusOr<int64_t> got = PickToken(logits, {}, 17);
    EXPECT_EQ(got.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(got.status().message(), HasSubstr("token 17"));
  }
}

TEST(CheckGenerateOptionsTest, EveryOptionOutOfRangeIsNamed) {
  struct Case {
    std::string name;
    std::function<void(GenerateOptions&)> spoil;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Case cases[] = {
      {"max_new_tokens", [](GenerateOptions& o) { o.max_new_tokens = 0; }},
      {"temperature", [](GenerateOptions& o) { o.temperature = -0.1; }},
      {"temperature", [](GenerateOptions& o) { o.temperature = 1e9; }},
      {"temperature", [nan](GenerateOptions& o) { o.temperature = nan; }},
      {"top_p", [](GenerateOptions& o) { o.top_p = 0.0; }},
      {"top_p", [](GenerateOptions& o) { o.top_p = 1.1; }},
      {"top_p", [nan](GenerateOptions& o) { o.top_p = nan; }},
      {"top_k", [](GenerateOptions& o) { o.top_k = -1; }},
      {"stop_ids", [](GenerateOptions& o) { o.stop_ids.resize(2000); }},
  };
  for (const Case& c : cases) {
    GenerateOptions options;
    ASSERT_TRUE(CheckGenerateOptions(options).ok());
    c.spoil(options);
    const absl::Status got = CheckGenerateOptions(options);
    EXPECT_EQ(got.code(), absl::StatusCode::kInvalidArgument) << c.name;
    EXPECT_THAT(got.message(), HasSubstr(c.name));
  }
}

}  // namespace
}  // namespace vernier::models
