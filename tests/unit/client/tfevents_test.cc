#include "client/tfevents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "tests/testing/temp_folder.h"

namespace vernier::client {
namespace {

using testing::ElementsAre;

v1::MetricPoint Point(const std::string& stage, int64_t step, int64_t seconds,
                      const std::vector<std::pair<std::string, double>>& values) {
  v1::MetricPoint point;
  point.set_stage(stage);
  point.set_step(step);
  point.mutable_time()->set_seconds(seconds);
  for (const auto& [name, value] : values) (*point.mutable_values())[name] = value;
  return point;
}

// RFC 3720, B.4.
TEST(Crc32cTest, MatchesThePublishedVectors) {
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
}

// The bytes that tensorboard.summary.writer.record_writer.RecordWriter(tensorboard 2.21) wrote for the same
// events (tests/golden/make/make_tfevents_golden.py).
TEST(TfEventsTest, EveryByteIsAsTensorBoardWritesIt) {
  const std::string file =
      EventFile({Point("sft", 3, 1'700'000'000, {{"train_loss", 1.5}, {"valid_loss", 0.25}})});
  EXPECT_EQ(absl::BytesToHexString(file),
            "1800000000000000a37f4b220900000040fc54d9411a0d627261696e2e4576656e743a32eced8f9d3300000000000000"
            "0ca720560900000040fc54d94110032a260a110a0a6c6f73732f747261696e150000c03f0a110a0a6c6f73732f76616c"
            "6964150000803e9b974d1f");
}

TEST(TfEventsTest, TagsShareSections) {
  EXPECT_EQ(TensorBoardTag("train_loss"), "loss/train");
  EXPECT_EQ(TensorBoardTag("valid_loss"), "loss/valid");
  EXPECT_EQ(TensorBoardTag("valid_token_accuracy"), "valid/token_accuracy");
  EXPECT_EQ(TensorBoardTag("grad_norm"), "train/grad_norm");
}

TEST(TfEventsTest, WritesOneFileForEachStageAndReplacesItTheSecondTime) {
  const TempFolder folder;
  const std::vector<v1::MetricPoint> points = {Point("a", 1, 100, {{"train_loss", 2}}),
                                               Point("b", 1, 200, {{"train_loss", 3}})};
  for (int round = 0; round < 2; ++round) {
    const auto paths = WriteTensorBoard(points, "run1", folder.path());
    ASSERT_TRUE(paths.ok()) << paths.status();
    EXPECT_THAT(*paths, ElementsAre(absl::StrCat(folder.path(), "/run1/a/events.out.tfevents.100.vernier"),
                                    absl::StrCat(folder.path(), "/run1/b/events.out.tfevents.200.vernier")));
    EXPECT_EQ(*ReadFile((*paths)[1]), EventFile({points[1]}));
  }
}

TEST(TfEventsTest, NoPointsAreNoFiles) {
  const TempFolder folder;
  const auto paths = WriteTensorBoard({}, "run1", folder.path());
  ASSERT_TRUE(paths.ok());
  EXPECT_TRUE(paths->empty());
  EXPECT_EQ(EventFile({}), "");
}

}  // namespace
}  // namespace vernier::client
