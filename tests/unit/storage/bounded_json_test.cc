#include "storage/bounded_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace vernier::storage {
namespace {

using testing::HasSubstr;

TEST(BoundedJsonTest, JsonOfEveryKindIsRead) {
  const std::string text = R"( {"a":[1,-2,3.5,true,null,"x\u00e4"],"b":{"a":{}},"c":18446744073709551615} )";
  const auto json = ParseJson(text, "f");
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(*json, nlohmann::json::parse(text));
  EXPECT_EQ(*ParseJson("7", "f"), 7);
  EXPECT_EQ(*ParseJson("[]", "f"), nlohmann::json::array());
}

TEST(BoundedJsonTest, BadTextIsRefusedByName) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "is not JSON"},
      {"{", "is not JSON"},
      {"{}x", "is not JSON"},
      {"[1,]", "is not JSON: column 4: syntax error"},
      {"[1,\n]", "is not JSON: at line 2, column 1: syntax error"},
      {"\xff\xfe{", "'\\xff'"},
      {"\"\xff\"", "is not JSON"},
      {"[1e999]", "is not JSON"},
      {R"({"a":1,"b":{"a":1,"a":2}})", "has the name \"a\" twice"},
      {R"({"a":{},"a":{}})", "has the name \"a\" twice"},
  };
  for (const auto& [text, message] : cases) {
    const absl::Status status = ParseJson(text, "dir/f.json").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), testing::StartsWith("dir/f.json: "));
    EXPECT_THAT(status.message(), HasSubstr(message));
  }
}

TEST(BoundedJsonTest, LimitsHoldExactly) {
  const JsonLimits limits{.max_bytes = 20, .max_depth = 3, .max_values = 5};
  EXPECT_TRUE(ParseJson("[[[1]]]", "f", limits).ok());
  EXPECT_THAT(ParseJson("[[[[]]]]", "f", limits).status().message(),
              HasSubstr("nested deeper than the limit of 3"));
  EXPECT_TRUE(ParseJson("[1,2,3,4]", "f", limits).ok());
  EXPECT_THAT(ParseJson("[1,2,3,4,5]", "f", limits).status().message(), HasSubstr("limit of 5 values"));
  EXPECT_TRUE(ParseJson(R"({"aaaaaaaaaaaaa":11})", "f", limits).ok());
  EXPECT_THAT(ParseJson(R"({"aaaaaaaaaaaaa":111})", "f", limits).status().message(),
              HasSubstr("has 21 bytes"));
}

TEST(BoundedJsonTest, DeepTextEndsQuickly) {
  EXPECT_FALSE(ParseJson(std::string(10 << 20, '['), "f").ok());
  EXPECT_FALSE(ParseJson(std::string(10 << 20, '{'), "f").ok());
}

TEST(BoundedJsonTest, TimeGrowsWithTheTextOnly) {
  // A parser that walks the members before each new one needs minutes here.
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) absl::StrAppend(&text, i == 0 ? "" : ",", "\"", i, "\":{}");
  EXPECT_EQ(ParseJson(text + "}", "f")->size(), 200'000);
}

}  // namespace
}  // namespace vernier::storage
