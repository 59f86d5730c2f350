#include "worker/trainer/lanes.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "absl/strings/str_cat.h"

namespace vernier::trainer {
namespace {

class LanesTest : public ::testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(4); }
  void TearDown() override { at::set_num_threads(1); }
};

TEST_F(LanesTest, LanesRunAtOnceAndShareTheThreads) {
  Lanes lanes;
  for (const int count : {2, 4, 3, 1, 2}) {
    SCOPED_TRACE(count);
    std::atomic<int> arrived = 0;
    std::vector<int> threads(count);
    lanes.Run(count, [&](int lane) {
      threads[lane] = at::get_num_threads();
      // Each waits for all: lanes that ran one after the other would never end.
      for (++arrived; arrived < count;) std::this_thread::yield();
    });
    for (const int each : threads) EXPECT_EQ(each, 4 / count);
    EXPECT_EQ(at::get_num_threads(), 4);
  }
}

TEST_F(LanesTest, WhatALaneThrowsIsThrownAndTheNextCallRuns) {
  Lanes lanes;
  const auto fail = [](int lane) {
    if (lane == 1) throw std::runtime_error("lane 1");
  };
  EXPECT_THROW(lanes.Run(2, fail), std::runtime_error);
  int sum = 0;
  std::atomic<int> total = 0;
  lanes.Run(2, [&](int lane) { total += lane + 1; });
  sum = total;
  EXPECT_EQ(sum, 3);
}

// Numbers whose sum depends on the order in which they are added.
absl::Status Leaf(int i, FlatGradient& out) {
  out.assign(3, 1.0f / static_cast<float>(3 + 7 * i));
  return absl::OkStatus();
}

TEST_F(LanesTest, TheSumHasTheBitsOfTheTreeForAnyNumberOfLanes) {
  Lanes lanes;
  for (const int count : {1, 2, 4, 16, 64}) {
    FlatGradient want;
    ASSERT_TRUE(SumShardTree(0, count, Leaf, want).ok());
    for (const int num_lanes : {1, 2, 3, 4, 7}) {
      SCOPED_TRACE(absl::StrCat(count, " leaves, ", num_lanes, " lanes"));
      FlatGradient got;
      const auto leaf = [](int, int i, FlatGradient& out) { return Leaf(i, out); };
      ASSERT_TRUE(SumShardsInLanes(lanes, num_lanes, count, leaf, got).ok());
      EXPECT_EQ(got, want);
    }
  }
}

TEST_F(LanesTest, ALeafThatFailsFailsTheSum) {
  Lanes lanes;
  FlatGradient sum;
  const auto leaf = [](int, int i, FlatGradient& out) {
    return i == 5 ? absl::ResourceExhaustedError("leaf 5") : Leaf(i, out);
  };
  EXPECT_EQ(SumShardsInLanes(lanes, 2, 8, leaf, sum).message(), "leaf 5");
}

}  // namespace
}  // namespace vernier::trainer
