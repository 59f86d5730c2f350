#include "common/unwritable.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "absl/status/statusor.h"
#include "common/child_process.h"
#include "common/file.h"

namespace vernier {
namespace {

using testing::HasSubstr;

struct WriteCase {
  std::string name;
  int error;
  absl::StatusCode code;
  std::string remedy;  // "" = not marked
};
class WriteErrnoStatusTest : public testing::TestWithParam<WriteCase> {};

TEST_P(WriteErrnoStatusTest, MarksWhatAnOperatorMends) {
  const WriteCase& test = GetParam();
  const absl::Status status = WriteErrnoStatus(test.error, "a/b");
  EXPECT_EQ(status.code(), test.code);
  EXPECT_THAT(std::string(status.message()), testing::StartsWith("a/b: "));
  EXPECT_THAT(std::string(status.message()), HasSubstr(test.remedy));
  EXPECT_EQ(IsUnwritable(status), !test.remedy.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Cases, WriteErrnoStatusTest,
    testing::ValuesIn<WriteCase>({
        {"Full", ENOSPC, absl::StatusCode::kResourceExhausted, "free some space there"},
        {"OverQuota", EDQUOT, absl::StatusCode::kResourceExhausted, "free some space there"},
        {"ReadOnly", EROFS, absl::StatusCode::kPermissionDenied, "make its disk writable"},
        {"Closed", EACCES, absl::StatusCode::kPermissionDenied, "let the service's user write there"},
        {"Gone", ENOENT, absl::StatusCode::kNotFound, ""},
        {"Broken", EIO, absl::StatusCode::kUnavailable, ""},
        {"OutOfFiles", EMFILE, absl::StatusCode::kResourceExhausted, ""},
    }),
    [](const auto& info) { return info.param.name; });

TEST(UnwritableTest, TheMarkTravelsWithTheStatus) {
  const absl::Status marked = MarkUnwritable(absl::ResourceExhaustedError("full"));
  const absl::StatusOr<int> passed_on = marked;
  EXPECT_TRUE(IsUnwritable(passed_on.status()));
  EXPECT_FALSE(IsUnwritable(absl::ResourceExhaustedError("full")));
  EXPECT_FALSE(IsUnwritable(absl::OkStatus()));
}

TEST(UnwritableTest, AChildWhoseLogCannotBeWrittenIsNotStarted) {
  const auto child = SpawnChild({.arguments = {"/bin/true"}, .log_path = "/nonexistent/log"});
  EXPECT_TRUE(absl::IsNotFound(child.status())) << child.status();
  EXPECT_FALSE(IsUnwritable(child.status())) << "nobody makes that folder";
}

}  // namespace
}  // namespace vernier
