// What `vernier plan` finds in local rows.
#include "client/cli/measure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "google/protobuf/text_format.h"
#include "tests/testing/temp_folder.h"
#include "tests/unit/worker_data/byte_model.h"

namespace vernier::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class MeasureTest : public testing::Test {
 protected:
  static std::string RowsOf(int count, const std::string& text) {
    std::string rows;
    for (int i = 0; i < count; ++i) absl::StrAppend(&rows, "{\"text\": \"", text, i, "\"}\n");
    return rows;
  }
  v1::DataReport Measure(const std::string& fields, const std::string& validation = "") {
    v1::TrainStage train;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        absl::StrCat("data { max_tokens: 64 ", fields, " }"), &train));
    const auto codec = data::CreateCodec({.tokenizer_json = data::TokenizerJson()}, nullptr);
    EXPECT_TRUE(codec.ok()) << codec.status();
    const auto report = MeasureRows({folder_.File("rows.jsonl"), validation}, train, **codec, {});
    EXPECT_TRUE(report.ok()) << report.status();
    return report.ok() ? *report : v1::DataReport();
  }

  TempFolder folder_;
};

TEST_F(MeasureTest, OnlyTheRowsThatWillBeUsedCount) {
  folder_.Write("rows.jsonl", RowsOf(40, "row "));
  EXPECT_EQ(Measure("").num_rows(), 40);
  EXPECT_EQ(Measure("max_rows: 7").num_rows(), 7);
}

TEST_F(MeasureTest, ValidationRowsAreAShareOrAFile) {
  folder_.Write("rows.jsonl", RowsOf(40, "row "));
  const v1::DataReport share = Measure("validation { from: '25%' }");
  EXPECT_GT(share.num_validation_tokens(), 0);
  EXPECT_EQ(share.num_rows() + share.num_validation_rows(), 40);
  folder_.Write("valid.jsonl", RowsOf(9, "other "));
  const v1::DataReport file = Measure("validation { from: 'a digest' }", folder_.File("valid.jsonl"));
  EXPECT_EQ(file.num_rows(), 40);
  EXPECT_EQ(file.num_validation_rows(), 9);
  EXPECT_GT(file.num_validation_tokens(), 9);
}

TEST(NotMeasuredTest, WhatIsNotLookedAtIsSaid) {
  v1::Data data;
  EXPECT_THAT(NotMeasured({"rows.jsonl", ""}, data), IsEmpty());
  data.mutable_validation()->set_from("5%");
  EXPECT_THAT(NotMeasured({"rows.jsonl", ""}, data), IsEmpty());
  data.mutable_validation()->set_from("held-out");
  EXPECT_THAT(NotMeasured({"rows.jsonl", "valid.jsonl"}, data), IsEmpty());
  EXPECT_THAT(NotMeasured({"rows.jsonl", ""}, data),
              ElementsAre(HasSubstr("\"held-out\" are in the service alone")));
  data.add_mix()->set_source("a");
  EXPECT_THAT(NotMeasured({"", ""}, data), ElementsAre(HasSubstr("data.mix is not looked at")));
}

}  // namespace
}  // namespace vernier::cli
