#include "proto/canonical_bytes.h"

#include <gtest/gtest.h>

#include <string>

#include "vernier/v1/data.pb.h"

namespace vernier {
namespace {

TEST(CanonicalBytesTest, EqualMessagesHaveEqualBytesInWhateverOrderTheyWereFilled) {
  v1::Data forwards, backwards;
  for (int i = 0; i < 64; ++i) {
    (*forwards.mutable_columns())[std::to_string(i)] = "x";
    (*backwards.mutable_columns())[std::to_string(63 - i)] = "x";
  }
  const std::string bytes = CanonicalBytes(forwards);
  EXPECT_EQ(bytes, CanonicalBytes(backwards));
  v1::Data read;
  ASSERT_TRUE(read.ParseFromString(bytes));
  EXPECT_EQ(read.columns_size(), 64);
  (*backwards.mutable_columns())["7"] = "y";
  EXPECT_NE(bytes, CanonicalBytes(backwards));
}

}  // namespace
}  // namespace vernier
