#include "common/file_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"

namespace vernier {
namespace {

TEST(FileLockTest, SecondHolderIsRefusedWithThePidOfTheFirst) {
  const std::string path = testing::TempDir() + "/file_lock_test.lock";
  ::unlink(path.c_str());
  EXPECT_TRUE(absl::IsNotFound(FileLock::Holder(path).status()));
  auto first = FileLock::Acquire(path, "the first");
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(*FileLock::Holder(path), ::getpid());
  const auto second = FileLock::Acquire(path, "the first");
  EXPECT_TRUE(absl::IsFailedPrecondition(second.status()));
  EXPECT_THAT(std::string(second.status().message()),
              testing::HasSubstr(absl::StrCat("the first (process ", ::getpid(), ")")));
}

TEST(FileLockTest, IsFreeAgainWhenItsHolderIsGone) {
  const std::string path = testing::TempDir() + "/file_lock_free_test.lock";
  {
    const auto first = FileLock::Acquire(path, "the first");
    ASSERT_TRUE(first.ok()) << first.status();
  }
  EXPECT_TRUE(absl::IsNotFound(FileLock::Holder(path).status()));
  EXPECT_TRUE(FileLock::Acquire(path, "another").ok());
}

}  // namespace
}  // namespace vernier
