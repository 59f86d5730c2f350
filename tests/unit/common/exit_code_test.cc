#include "common/exit_code.h"

#include <gtest/gtest.h>

namespace vernier {
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

TEST(ExitCodeTest, WhatAProcessPassesOnKeepsItsCode) {
  for (int code = 0; code <= 7; ++code) {
    EXPECT_EQ(ExitCodeOf(absl::Status(StatusCodeOfExit(code), "x")), code);
  }
  EXPECT_EQ(StatusCodeOfExit(128 + 9), absl::StatusCode::kInternal) << "killed";
}

}  // namespace
}  // namespace vernier
