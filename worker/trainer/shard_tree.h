// Sums over the virtual shards of a step in a balanced binary tree of fixed order, so that the bits do not depend on
// how many ranks own the leaves (design 0001, section 5). A rank owns a contiguous power-of-two block of leaves, which
// is a subtree: it computes that subtree, and the rest of the tree is summed across ranks in the same shape.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "common/check.h"
#include "common/status_macros.h"

namespace vernier::trainer {

// A gradient of all trained parameters end to end, in fp32.
using FlatGradient = std::vector<float>;

// left += right, elementwise.
inline void AddInPlace(FlatGradient& left, const FlatGradient& right) {
  VN_CHECK(left.size() == right.size());
  for (size_t i = 0; i < left.size(); ++i) left[i] += right[i];
}

// Fills `sum` with the tree sum of leaves [begin, begin + count), count a power of two. `leaf(i, out)` writes leaf i
// into `out` (resized by it). Holds at most log2(count) + 1 buffers.
template <typename Leaf>
absl::Status SumShardTree(int begin, int count, const Leaf& leaf, FlatGradient& sum) {
  VN_CHECK(count >= 1 && (count & (count - 1)) == 0);
  if (count == 1) return leaf(begin, sum);
  VN_RETURN_IF_ERROR(SumShardTree(begin, count / 2, leaf, sum));
  FlatGradient right;
  VN_RETURN_IF_ERROR(SumShardTree(begin + count / 2, count / 2, leaf, right));
  AddInPlace(sum, right);
  return absl::OkStatus();
}

}  // namespace vernier::trainer
