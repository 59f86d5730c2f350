#include "client/cli/cli.h"

#include <gtest/gtest.h>

#include <string>

namespace vernier::cli {
namespace {

TEST(ExitCodeTest, EachKindOfErrorHasItsDocumentedCode) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeOf(absl::InternalError("x")), 1);
  EXPECT_EQ(ExitCodeOf(absl::InvalidArgumentError("x")), 2);
  EXPECT_EQ(ExitCodeOf(absl::NotFoundError("x")), 3);
  EXPECT_EQ(ExitCodeOf(absl::UnavailableError("x")), 4);
  EXPECT_EQ(ExitCodeOf(absl::UnauthenticatedError("x")), 5);
  EXPECT_EQ(ExitCodeOf(absl::ResourceExhaustedError("x")), 6);
  EXPECT_EQ(ExitCodeOf(absl::FailedPreconditionError("x")), 7);
}

TEST(HumanDurationTest, PicksItsUnits) {
  EXPECT_EQ(HumanDuration(-3), "0 s");
  EXPECT_EQ(HumanDuration(59.4), "59 s");
  EXPECT_EQ(HumanDuration(61), "1 min 1 s");
  EXPECT_EQ(HumanDuration(7384), "2 h 3 min");
}

TEST(StateNameTest, DropsThePrefix) {
  EXPECT_EQ(StateName(v1::JOB_STATE_SUCCEEDED), "SUCCEEDED");
  EXPECT_EQ(StateName(v1::STAGE_STATE_QUEUED), "QUEUED");
}

}  // namespace
}  // namespace vernier::cli
