#include "client/restart_backoff.h"

#include <gtest/gtest.h>

namespace vernier::client {
namespace {

constexpr absl::Duration kShort = absl::Seconds(1);

TEST(RestartBackoffTest, TheFirstRestartIsImmediateAndThenItGrowsToItsLimit) {
  RestartBackoff backoff;
  EXPECT_EQ(backoff.AfterExit(kShort, false), absl::ZeroDuration());
  EXPECT_EQ(backoff.AfterExit(kShort, false), absl::Milliseconds(200));
  EXPECT_EQ(backoff.AfterExit(kShort, false), absl::Milliseconds(400));
  for (int i = 0; i < 10; ++i) backoff.AfterExit(kShort, false);
  EXPECT_EQ(backoff.AfterExit(kShort, false), RestartBackoff::kMost);
}

TEST(RestartBackoffTest, AHealthyRunMakesTheNextFailureTheFirst) {
  RestartBackoff backoff;
  for (int i = 0; i < 10; ++i) backoff.AfterExit(kShort, false);
  EXPECT_EQ(backoff.AfterExit(RestartBackoff::kHealthy, false), absl::ZeroDuration());
  EXPECT_EQ(backoff.AfterExit(kShort, false), RestartBackoff::kLeast) << "and it grows from there";
}

// Somebody who stops an agent by hand ten times waits no longer the tenth time than the second.
TEST(RestartBackoffTest, CleanExitsDoNotMakeItGrowButDoNotSpin) {
  RestartBackoff backoff;
  EXPECT_EQ(backoff.AfterExit(kShort, true), absl::ZeroDuration());
  for (int i = 0; i < 10; ++i) EXPECT_EQ(backoff.AfterExit(kShort, true), RestartBackoff::kLeast);
  EXPECT_EQ(backoff.AfterExit(kShort, false), RestartBackoff::kLeast);
  EXPECT_EQ(backoff.AfterExit(kShort, true), 2 * RestartBackoff::kLeast) << "nor does one heal";
  EXPECT_EQ(backoff.AfterExit(kShort, true), 2 * RestartBackoff::kLeast);
}

}  // namespace
}  // namespace vernier::client
