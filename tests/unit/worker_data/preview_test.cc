// What `vernier datasets preview` shows.
#include "worker/data/preview.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/worker_data/fakes.h"
#include "tests/unit/worker_data/prepare_run.h"

namespace vernier::data {
namespace {

using testing::HasSubstr;

TEST(PreviewTest, SegmentsTogetherAreTheRenderedText) {
  const ByteCodec codec;
  const auto previews = RenderPreviews(
      R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"yes"}]})", {}, codec, {});
  ASSERT_TRUE(previews.ok()) << previews.status();
  ASSERT_EQ(previews->rows.size(), 1u);
  const Preview& preview = previews->rows.front();
  EXPECT_EQ(preview.implicit_system_prompt, "be kind");
  ASSERT_EQ(preview.segments.size(), 2u);
  EXPECT_EQ(preview.segments[0].text, "<system>be kind|<user>q|<assistant>");
  EXPECT_FALSE(preview.segments[0].trained());
  EXPECT_EQ(preview.segments[1].text, "yes|");
  EXPECT_TRUE(preview.segments[1].trained());
  EXPECT_EQ(preview.num_trained_tokens, 4);
  EXPECT_EQ(RenderPreviews("{", {}, codec, {}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(PreviewTest, RowsAreCountedAsTheFileHasThem) {
  const std::string file = TextRow("one") + "\n{broken\n" + TextRow("three");
  const ByteCodec codec;
  const auto row = [&](int64_t wanted) {
    const auto source = OpenSource(ReadFromMemory(file), static_cast<int64_t>(file.size()));
    return PreviewRow(**source, wanted, {}, codec, {});
  };
  ASSERT_TRUE(row(3).ok()) << row(3).status();
  EXPECT_EQ(row(3)->rows.front().segments[1].text, "hree");
  EXPECT_THAT(std::string(row(2).status().message()), HasSubstr("row 2 (line 3): broken JSON"));
  EXPECT_THAT(std::string(row(4).status().message()), HasSubstr("the file has 3 rows"));
}

}  // namespace
}  // namespace vernier::data
