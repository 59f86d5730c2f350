// The shard tree gives the same bits however many ranks own its leaves.
#include "worker/trainer/shard_tree.h"

#include <gtest/gtest.h>

#include "common/philox.h"

namespace vernier::trainer {
namespace {

constexpr size_t kSize = 5000;

// Values of very different sizes, so that another order of additions shows.
absl::Status Leaf(int shard, FlatGradient& out) {
  out.resize(kSize);
  for (size_t i = 0; i < kSize; ++i) {
    const float unit = UnitFloat(static_cast<uint32_t>(DeriveSeed(3, shard, i))) - 0.5f;
    out[i] = unit * static_cast<float>(1 << (i % 20));
  }
  return absl::OkStatus();
}

FlatGradient Local(int begin, int count) {
  FlatGradient sum;
  VN_CHECK_OK(SumShardTree(begin, count, Leaf, sum));
  return sum;
}

// What `num_ranks` ranks compute: each its subtree, then the upper levels in the same shape.
FlatGradient Distributed(int num_leaves, int num_ranks) {
  const int share = num_leaves / num_ranks;
  FlatGradient sum;
  const auto subtree = [&](int rank, FlatGradient& out) -> absl::Status {
    out = Local(rank * share, share);
    return absl::OkStatus();
  };
  VN_CHECK_OK(SumShardTree(0, num_ranks, subtree, sum));
  return sum;
}

TEST(ShardTreeTest, SubtreesOfAnyNumberOfRanksGiveTheSameBits) {
  for (const int leaves : {4, 8, 64}) {
    const FlatGradient local = Local(0, leaves);
    for (int ranks = 1; ranks <= leaves; ranks *= 2) {
      EXPECT_EQ(Distributed(leaves, ranks), local) << leaves << " leaves on " << ranks << " ranks";
    }
  }
}

TEST(ShardTreeTest, AnotherOrderGivesOtherBits) {
  FlatGradient in_order;
  VN_CHECK_OK(Leaf(0, in_order));
  for (int shard = 1; shard < 8; ++shard) {
    FlatGradient next;
    VN_CHECK_OK(Leaf(shard, next));
    AddInPlace(in_order, next);
  }
  EXPECT_NE(in_order, Local(0, 8)) << "the test above could not fail";
}

TEST(ShardTreeTest, AFailingLeafEndsTheSum) {
  int calls = 0;
  const auto leaf = [&](int shard, FlatGradient& out) -> absl::Status {
    ++calls;
    out.assign(1, 1.0f);
    return shard == 2 ? absl::ResourceExhaustedError("leaf 2") : absl::OkStatus();
  };
  FlatGradient sum;
  const absl::Status status = SumShardTree(0, 8, leaf, sum);
  EXPECT_EQ(status.message(), "leaf 2");
  EXPECT_EQ(calls, 3);
}

}  // namespace
}  // namespace vernier::trainer
