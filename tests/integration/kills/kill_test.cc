// Law 3 with real processes: kill -9 anything at any moment, and the adapter has the bytes of the undisturbed
// run.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <iostream>
#include <random>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/testing/training_fixture.h"

namespace vernier {
namespace {

class KillTest : public TrainingTest {};

// One run of a seed: kills a random victim at a random step and moment, twice for every third seed.
TEST_F(KillTest, TwentySeededKillsOfTrainerAgentAndServerChangeNoBit) {
  Start();
  const std::string want = Undisturbed();
  ASSERT_NE(want, "");
  int kills = 0;
  for (int seed = 1; kills < 20; ++seed) {
    ASSERT_LE(seed, 40) << "too few of the kills hit a running job";
    std::mt19937 random(seed);
    const std::string name = Submit(Job());
    ASSERT_NE(name, "");
    std::string story = absl::StrCat("seed ", seed, ":");
    for (int round = 0; round < (seed % 3 == 0 ? 2 : 1); ++round) {
      static constexpr const char* kVictims[] = {"vernier-trainer", "vernier-agent", "vernierd"};
      const std::string victim = kVictims[random() % 3];
      const int64_t step = 1 + static_cast<int64_t>(random() % (kSteps / 2)) + round * kSteps / 2;
      const absl::Duration later = absl::Microseconds(random() % 20'000);
      AwaitStep(name, step);
      const absl::Time moment = absl::Now() + later;
      while (absl::Now() < moment) {
      }
      const auto pid = service_->FindProcess(victim);
      if (!pid.ok()) continue;  // the trainer had just ended
      ASSERT_EQ(::kill(*pid, SIGKILL), 0);
      ++kills;
      absl::StrAppend(&story, " ", victim, " after step ", step, " + ", absl::FormatDuration(later));
    }
    EXPECT_EQ(DigestOf(name), want) << story;
    std::cout << story << std::endl;
  }
  Stop();
}

// The moments that chance rarely hits, addressed by the trainer's fault hooks.
TEST_F(KillTest, DeathAtEveryPointOfAStepAndOfACheckpointChangesNoBit) {
  Start();
  const std::string want = Undisturbed();
  ASSERT_NE(want, "");
  Stop();
  for (const char* const point : {"before_step", "after_backward", "after_update", "during_checkpoint",
                                  "before_manifest", "after_manifest", "before_publish"}) {
    const std::string step = absl::StartsWith(point, "before_publish") ? "" : "step=34,";
    Start({.environment = {
               absl::StrCat("VERNIER_FAULT=kill@", step, "point=", point, ",once=", folder_.File(point))}});
    const std::string name = Submit(Job());
    ASSERT_NE(name, "");
    EXPECT_EQ(DigestOf(name), want) << point;
    EXPECT_TRUE(std::filesystem::exists(folder_.File(point))) << point << " was never reached";
    EXPECT_EQ(Get(name).stages(0).attempts(), 2) << point;
    Stop();
  }
}

TEST_F(KillTest, PauseResumeAndRestartOfEverythingChangeNoBit) {
  Start();
  const std::string want = Undisturbed();
  const std::string name = Submit(Job());
  ASSERT_NE(name, "");
  AwaitStep(name, 10);
  v1::PauseJobRequest pause;
  pause.set_name(name);
  ASSERT_TRUE(service_->client().Call(&v1::JobService::Stub::PauseJob, pause).ok());
  ASSERT_TRUE(AwaitCondition("the pause", [&] { return Get(name).state() == v1::JOB_STATE_PAUSED; }).ok());
  Stop();
  Start();
  v1::ResumeJobRequest resume;
  resume.set_name(name);
  ASSERT_TRUE(service_->client().Call(&v1::JobService::Stub::ResumeJob, resume).ok());
  EXPECT_EQ(DigestOf(name), want);
  Stop();
}

}  // namespace
}  // namespace vernier
