#include "common/child_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <string>

#include "common/file.h"

namespace vernier {
namespace {

class ChildProcessTest : public testing::Test {
 protected:
  ChildOptions Shell(const std::string& script) {
    ChildOptions options;
    options.arguments = {"/bin/sh", "-c", script};
    options.log_path =
        testing::TempDir() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name() + ".log";
    ::unlink(options.log_path.c_str());
    return options;
  }
};

TEST_F(ChildProcessTest, OutputAndEnvironmentReachTheLog) {
  ChildOptions options = Shell("echo one; echo \"two $WORD\" >&2; exit 3");
  options.environment = {"WORD=three"};
  const auto pid = SpawnChild(options);
  ASSERT_TRUE(pid.ok()) << pid.status();
  int exit_code = 0;
  EXPECT_EQ(WaitChild(*pid, &exit_code), "exited with code 3");
  EXPECT_EQ(exit_code, 3);
  ReapChild(*pid);
  EXPECT_EQ(*ReadFile(options.log_path), "one\ntwo three\n");
  EXPECT_EQ(LastLogLine(options.log_path), "two three");
}

TEST_F(ChildProcessTest, DeathBySignalIsNamed) {
  const auto pid = SpawnChild(Shell("sleep 60"));
  ASSERT_TRUE(pid.ok()) << pid.status();
  ::kill(*pid, SIGKILL);
  int exit_code = 0;
  EXPECT_THAT(WaitChild(*pid, &exit_code), testing::StartsWith("was killed by signal 9"));
  EXPECT_EQ(exit_code, 128 + 9);
  ReapChild(*pid);
}

TEST_F(ChildProcessTest, MissingProgramIsNamed) {
  ChildOptions options = Shell("");
  options.arguments = {"/nonexistent/trainer"};
  const auto pid = SpawnChild(options);
  ASSERT_FALSE(pid.ok());
  EXPECT_TRUE(absl::IsNotFound(pid.status()));
  EXPECT_THAT(std::string(pid.status().message()), testing::HasSubstr("/nonexistent/trainer"));
}

TEST_F(ChildProcessTest, LastLineOfAnEmptyOrMissingLogIsNothing) {
  EXPECT_EQ(LastLogLine("/nonexistent.log"), "");
}

}  // namespace
}  // namespace vernier
