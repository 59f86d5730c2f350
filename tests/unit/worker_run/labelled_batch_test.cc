#include "worker/trainer/labelled_batch.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/testing/torch/train_step.h"
#include "worker/models/torch.h"

namespace vernier::trainer {
namespace {

std::vector<int64_t> Ids(const objectives::LabelledBatch& batch) {
  const int64_t* const ids = batch.tokens.ids_T.const_data_ptr<int64_t>();
  return {ids, ids + batch.tokens.ids_T.numel()};
}

class LabelledBatchTest : public ::testing::Test {
 protected:
  const data::PreparedRows rows_ = testing::PreparedOf(
      {{{1, 2, 3}, {0, 1, 1}}, {{4, 5, 6, 7, 8}, {0, 0, 0.5, 0.5, 0.5}}, {{9, 10}, {0, 2}}});
  const data::MicroBatch micro_batch_{
      .rows = {{.row = 1, .index_in_batch = 6, .length = 5}, {.row = 2, .index_in_batch = 0, .length = 2}}};
};

TEST_F(LabelledBatchTest, PackedRowsLieEndToEnd) {
  const auto batch = MakeLabelledBatch(rows_, micro_batch_, data::Layout::kPacked, 11, true);
  EXPECT_EQ(Ids(batch), (std::vector<int64_t>{4, 5, 6, 7, 8, 9, 10}));
  EXPECT_EQ(batch.weights, (std::vector<float>{0, 0, 0.5, 0.5, 0.5, 0, 2}));
  EXPECT_EQ(batch.tokens.row_offsets, (std::vector<int64_t>{0, 5, 7}));
  EXPECT_EQ(batch.tokens.global_rows, (std::vector<int64_t>{6, 0}));
  EXPECT_EQ(batch.tokens.step, 11);
  EXPECT_TRUE(batch.tokens.training);
}

TEST_F(LabelledBatchTest, PaddedRowsAreAsLongAsTheLongestAndPaddingIsNoTarget) {
  const auto batch = MakeLabelledBatch(rows_, micro_batch_, data::Layout::kPadded, 0, false);
  EXPECT_EQ(Ids(batch), (std::vector<int64_t>{4, 5, 6, 7, 8, 9, 10, 0, 0, 0}));
  EXPECT_EQ(batch.weights, (std::vector<float>{0, 0, 0.5, 0.5, 0.5, 0, 2, 0, 0, 0}));
  EXPECT_EQ(batch.tokens.row_offsets, (std::vector<int64_t>{0, 5, 10}));
  EXPECT_FALSE(batch.tokens.training);
}

}  // namespace
}  // namespace vernier::trainer
