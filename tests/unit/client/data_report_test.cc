// The report of `vernier datasets check` as text.
#include "client/cli/data_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace vernier::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

v1::DataReport Report() {
  v1::DataReport report;
  report.set_file_format("JSON lines");
  report.set_row_format("messages");
  report.set_num_rows_read(12345);
  report.set_num_bad_rows(2);
  report.set_num_tokens(1000000);
  report.set_num_trained_tokens(250000);
  report.set_median_row_tokens(90);
  report.set_p95_row_tokens(400);
  report.set_max_row_tokens(5000);
  report.set_num_bytes_read(3 << 20);
  report.set_num_duplicate_rows(3);
  report.set_num_near_duplicate_rows(40);
  report.set_num_overlong_rows(7);
  for (const auto& [bound, rows] : {std::pair{16, 10}, std::pair{32, 0}, std::pair{64, 5}}) {
    v1::LengthBucket& bucket = *report.add_lengths();
    bucket.set_max_tokens(bound);
    bucket.set_num_rows(rows);
  }
  v1::OverlongLoss& loss = *report.add_overlong_losses();
  loss.set_policy(v1::ON_OVERLONG_TRUNCATE);
  loss.set_num_rows(1);
  loss.set_num_tokens(9876);
  v1::RowProblem& problem = *report.add_problems();
  problem.set_line(17);
  problem.set_reason("broken JSON at column 3");
  v1::RowPair& pair = *report.add_duplicates();
  pair.set_row("line 9");
  pair.set_other("line 4");
  pair.set_similarity(0.87);
  report.add_notes("the chat template adds a system prompt");
  v1::RowSample& sample = *report.add_samples();
  sample.set_line(1);
  sample.set_num_tokens(9);
  sample.set_num_trained_tokens(2);
  sample.add_segments()->set_text("question ");
  v1::RowSample::Segment& answer = *sample.add_segments();
  answer.set_text("answer");
  answer.set_weight(1);
  return report;
}

TEST(DataReportTextTest, SaysEverythingThatWasFound) {
  const std::string text =
      DataReportText(Report(), {.path = "a.jsonl", .tokenised = true, .max_tokens = 2048, .color = false});
  for (const char* want :
       {"a.jsonl\n", "JSON lines, rows of messages", "12,345, 2 of them bad",
        "1,000,000, 250,000 of them trained (25.0%)", "median 90, 95% up to 400, longest 5,000 tokens",
        "3 exact, 40 near", "1 - 16 ", "17 - 32 ", "longer than max_tokens = 2,048: 7 rows",
        "loses 1 row and 9,876 tokens", "line 17: broken JSON at column 3",
        "line 9 is similar to line 4 (0.87)", "adds a system prompt", "question [[answer]]"}) {
    EXPECT_THAT(text, HasSubstr(want));
  }
}

TEST(DataReportTextTest, BarsAreAsLongAsTheirShareOfTheLargest) {
  const std::string text = DataReportText(Report(), {.path = "a", .tokenised = true});
  EXPECT_THAT(text, HasSubstr(absl::StrCat(" ", std::string(40, '#'), " 10 rows")));
  EXPECT_THAT(text, HasSubstr(absl::StrCat(" ", std::string(20, '#'), std::string(20, ' '), " 5 rows")));
  EXPECT_THAT(text, HasSubstr(absl::StrCat(std::string(40, ' '), " 0 rows")));
}

TEST(DataReportTextTest, WithoutAModelNothingIsSaidOfTokens) {
  v1::DataReport report = Report();
  report.clear_lengths();
  report.clear_samples();
  const std::string text = DataReportText(report, {.path = "a", .tokenised = false});
  EXPECT_THAT(text, Not(HasSubstr("tokens")));
  EXPECT_THAT(text, HasSubstr("3 exact"));
}

TEST(DataReportTextTest, LongSegmentsLoseTheirMiddleNotTheirEnds) {
  v1::DataReport report;
  v1::RowSample::Segment& segment = *report.add_samples()->add_segments();
  std::string long_text;
  for (int i = 0; i < 1000; ++i) long_text += "\xC3\xA9";  // two bytes each: a cut must not part them
  segment.set_text("A" + long_text + "Z");
  const std::string text = DataReportText(report, {.path = "a", .tokenised = true});
  EXPECT_THAT(text, HasSubstr("A\xC3\xA9"));
  EXPECT_THAT(text, HasSubstr("\xC3\xA9Z"));
  EXPECT_THAT(text, HasSubstr(" bytes> \xC3\xA9"));
  EXPECT_LT(text.size(), 1000u);
}

TEST(DataReportTextTest, ColorsTakeThePlaceOfBrackets) {
  const std::string text = DataReportText(Report(), {.path = "a", .tokenised = true, .color = true});
  EXPECT_THAT(text, HasSubstr("question \033[1;30;42manswer\033[0m"));
}

TEST(GroupedTest, GroupsThousands) {
  EXPECT_EQ(Grouped(0), "0");
  EXPECT_EQ(Grouped(999), "999");
  EXPECT_EQ(Grouped(1000), "1,000");
  EXPECT_EQ(Grouped(-1234567), "-1,234,567");
}

}  // namespace
}  // namespace vernier::cli
