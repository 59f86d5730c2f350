#include "worker/trainer/fault_hooks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"

namespace vernier::trainer {
namespace {

using testing::HasSubstr;

TEST(FaultHooksTest, NothingIsDueWithoutASpec) {
  const auto hooks = FaultHooks::Parse("");
  ASSERT_TRUE(hooks.ok());
  EXPECT_FALSE(hooks->At(FaultPoint::kAfterBackward, 1));
}

TEST(FaultHooksTest, AFaultIsDueAtItsStepAndPointOnly) {
  const auto hooks = FaultHooks::Parse("nan@step=3,point=after_backward");
  ASSERT_TRUE(hooks.ok()) << hooks.status();
  EXPECT_FALSE(hooks->At(FaultPoint::kAfterBackward, 2));
  EXPECT_FALSE(hooks->At(FaultPoint::kAfterUpdate, 3));
  EXPECT_TRUE(hooks->At(FaultPoint::kAfterBackward, 3));
  EXPECT_TRUE(hooks->At(FaultPoint::kAfterBackward, 3));
}

TEST(FaultHooksTest, WithoutAStepEveryStepIsMeant) {
  const auto hooks = FaultHooks::Parse("nan@point=after_backward");
  ASSERT_TRUE(hooks.ok()) << hooks.status();
  EXPECT_TRUE(hooks->At(FaultPoint::kAfterBackward, 1));
  EXPECT_TRUE(hooks->At(FaultPoint::kAfterBackward, 99));
}

TEST(FaultHooksTest, OnceMeansOnceWhicheverProcessAsks) {
  const std::string marker = absl::StrCat(testing::TempDir(), "/fault_hooks_marker_", ::getpid());
  std::filesystem::remove(marker);
  const std::string spec = absl::StrCat("nan@step=1,point=after_backward,once=", marker);
  EXPECT_TRUE(FaultHooks::Parse(spec)->At(FaultPoint::kAfterBackward, 1));
  EXPECT_FALSE(FaultHooks::Parse(spec)->At(FaultPoint::kAfterBackward, 1));
  std::filesystem::remove(marker);
}

TEST(FaultHooksTest, SeveralFaultsArePartedBySemicolons) {
  const auto hooks = FaultHooks::Parse("nan@step=1,point=after_backward;nan@step=2,point=after_backward");
  ASSERT_TRUE(hooks.ok()) << hooks.status();
  EXPECT_TRUE(hooks->At(FaultPoint::kAfterBackward, 1));
  EXPECT_TRUE(hooks->At(FaultPoint::kAfterBackward, 2));
  EXPECT_FALSE(hooks->At(FaultPoint::kAfterBackward, 3));
}

TEST(FaultHooksDeathTest, KillKillsAndExitExits) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(FaultHooks::Parse("kill@point=before_step")->At(FaultPoint::kBeforeStep, 1),
              testing::KilledBySignal(SIGKILL), "");
  EXPECT_EXIT(FaultHooks::Parse("exit@point=before_manifest")->At(FaultPoint::kBeforeManifest, 1),
              testing::ExitedWithCode(70), "");
}

TEST(FaultHooksTest, AMistakeIsNamedWithWhatWouldBeRight) {
  const std::pair<const char*, const char*> cases[] = {
      {"explode@point=before_step", "kill, exit, nan"},
      {"kill@point=teatime", "before_publish"},
      {"kill@step=soon,point=before_step", "\"soon\""},
      {"kill@step=3", "no point="},
      {"kill@point=before_step,when=now", "once=PATH"},
      {"nan@point=before_step", "after_backward"},
      {"kill", "no point="},
  };
  for (const auto& [spec, want] : cases) {
    const auto hooks = FaultHooks::Parse(spec);
    EXPECT_EQ(hooks.status().code(), absl::StatusCode::kInvalidArgument) << spec;
    EXPECT_THAT(hooks.status().message(), HasSubstr(want)) << spec;
  }
}

}  // namespace
}  // namespace vernier::trainer
