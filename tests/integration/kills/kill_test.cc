// Law 3 with real processes: kill -9 anything at any moment, and the adapter has the bytes of the undisturbed
// run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/file.h"
#include "tests/testing/service.h"
#include "tests/testing/temp_folder.h"
#include "tests/testing/tiny_model.h"

namespace vernier {
namespace {


constexpr int kSteps = 160;
constexpr char kAdapterFile[] = "adapter_model.safetensors";
constexpr char kLedgerFile[] = "ledger.safetensors";

// A job with everything that a checkpoint must carry: dropout, momentum, schedule, best validation.
v1::JobSpec Job(const std::string& dataset, const std::string& validation) {
  v1::JobSpec spec;
  spec.mutable_model()->set_base("tiny");
  spec.mutable_data()->set_source(dataset);
  spec.mutable_data()->mutable_validation()->set_from(validation);
  spec.set_max_attempts(10);
  v1::TrainStage& train = *spec.mutable_train();
  train.mutable_tuning()->mutable_lora()->set_rank(4);
  train.mutable_tuning()->mutable_lora()->set_dropout(0.1);
  train.mutable_optimizer()->mutable_adamw()->set_learning_rate(5e-3);
  train.mutable_schedule()->mutable_cosine();
  train.mutable_schedule()->set_warmup_steps(5);
  train.mutable_batch()->set_rows(8);
  train.set_max_steps(kSteps);
  train.mutable_validate()->set_every_steps(20);
  train.mutable_checkpoint()->set_every_steps(2);
  train.set_precision(v1::PRECISION_FP32);
  train.set_threads(1);
  return spec;
}

class KillTest : public testing::Test {
 protected:
  void Start(std::vector<std::string> environment = {}) {
    const std::string model = folder_.File("tiny");
    if (!std::filesystem::exists(model)) {
      ASSERT_TRUE(tiny::WriteModelFolder(model).ok());
      folder_.Write("train.jsonl", tiny::RowsAsJsonl(tiny::MakeRows(64)));
      folder_.Write("valid.jsonl", tiny::RowsAsJsonl(tiny::MakeRows(8, 1000)));
    }
    Service::Options options;
    options.data_dir = folder_.File("data");
    options.import_roots = {folder_.path()};
    options.environment = std::move(environment);
    auto service = Service::Start(options);
    ASSERT_TRUE(service.ok()) << service.status();
    service_ = *std::move(service);
    const auto imported = service_->client().ImportModel(model, "tiny", nullptr);
    ASSERT_TRUE(imported.ok()) << imported.status();
    for (const char* const name : {"train", "valid"}) {
      const auto uploaded =
          service_->client().UploadDataset(folder_.File(absl::StrCat(name, ".jsonl")), name);
      ASSERT_TRUE(uploaded.ok()) << uploaded.status();
    }
  }

  void Stop() {
    const auto code = service_->Stop();
    ASSERT_TRUE(code.ok()) << code.status();
    EXPECT_EQ(*code, 0);
  }

  // The digests of the adapter and of the row ledger of a job that succeeded; "" and a failure else.
  std::string DigestOf(const std::string& name) {
    const auto job = service_->AwaitEnd(name);
    if (!job.ok()) {
      ADD_FAILURE() << job.status() << "\n" << service_->Logs();
      return "";
    }
    if (job->state() != v1::JOB_STATE_SUCCEEDED) {
      ADD_FAILURE() << job->DebugString() << service_->Logs();
      return "";
    }
    std::string digests;
    for (const char* const file : {kAdapterFile, kLedgerFile}) {
      const auto digest = ArtifactDigest(service_->client(), name, file);
      EXPECT_TRUE(digest.ok()) << digest.status();
      absl::StrAppend(&digests, digest.value_or("none"), " ");
    }
    return digests;
  }

  std::string Undisturbed() {
    const auto name = service_->Submit(Job("train", "valid"));
    EXPECT_TRUE(name.ok()) << name.status();
    return name.ok() ? DigestOf(*name) : "";
  }

  int64_t StepOf(const std::string& name) {
    const auto job = service_->GetJob(name);
    return job.ok() && job->stages_size() == 1 ? job->stages(0).progress().step() : 0;
  }

  bool JobEnded(const std::string& name) {
    const auto job = service_->GetJob(name);
    return job.ok() && (job->state() == v1::JOB_STATE_SUCCEEDED || job->state() == v1::JOB_STATE_FAILED);
  }

  TempFolder folder_;
  std::unique_ptr<Service> service_;
};

// One run of a seed: kills a random victim at a random step and moment, twice for every third seed.
TEST_F(KillTest, TwentySeededKillsOfTrainerAgentAndServerChangeNoBit) {
  Start();
  const std::string want = Undisturbed();
  ASSERT_NE(want, "");
  int kills = 0;
  for (int seed = 1; kills < 20; ++seed) {
    ASSERT_LE(seed, 40) << "too few of the kills hit a running job";
    std::mt19937 random(seed);
    const auto name = service_->Submit(Job("train", "valid"));
    ASSERT_TRUE(name.ok()) << name.status();
    std::string story = absl::StrCat("seed ", seed, ":");
    for (int round = 0; round < (seed % 3 == 0 ? 2 : 1); ++round) {
      static constexpr const char* kVictims[] = {"vernier-trainer", "vernier-agent", "vernierd"};
      const std::string victim = kVictims[random() % 3];
      const int64_t step = 1 + static_cast<int64_t>(random() % (kSteps / 2)) + round * kSteps / 2;
      const absl::Duration later = absl::Microseconds(random() % 20'000);
      ASSERT_TRUE(AwaitCondition("training", [&] { return StepOf(*name) >= step || JobEnded(*name); }).ok())
          << service_->Logs();
      const absl::Time moment = absl::Now() + later;
      while (absl::Now() < moment) {
      }
      const auto pid = service_->FindProcess(victim);
      if (!pid.ok()) continue;  // the trainer had just ended
      ASSERT_EQ(::kill(*pid, SIGKILL), 0);
      ++kills;
      absl::StrAppend(&story, " ", victim, " after step ", step, " + ", absl::FormatDuration(later));
    }
    EXPECT_EQ(DigestOf(*name), want) << story;
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
    Start({absl::StrCat("VERNIER_FAULT=kill@", step, "point=", point, ",once=", folder_.File(point))});
    const auto name = service_->Submit(Job("train", "valid"));
    ASSERT_TRUE(name.ok()) << name.status();
    EXPECT_EQ(DigestOf(*name), want) << point;
    EXPECT_TRUE(std::filesystem::exists(folder_.File(point))) << point << " was never reached";
    const auto job = service_->GetJob(*name);
    ASSERT_TRUE(job.ok());
    EXPECT_EQ(job->stages(0).attempts(), 2) << point;
    Stop();
  }
}

TEST_F(KillTest, PauseResumeAndRestartOfEverythingChangeNoBit) {
  Start();
  const std::string want = Undisturbed();
  const auto name = service_->Submit(Job("train", "valid"));
  ASSERT_TRUE(name.ok()) << name.status();
  ASSERT_TRUE(AwaitCondition("training", [&] { return StepOf(*name) >= 10; }).ok());
  v1::PauseJobRequest pause;
  pause.set_name(*name);
  ASSERT_TRUE(service_->client().Call(&v1::JobService::Stub::PauseJob, pause).ok());
  ASSERT_TRUE(AwaitCondition("the pause", [&] {
                const auto job = service_->GetJob(*name);
                return job.ok() && job->state() == v1::JOB_STATE_PAUSED;
              }).ok());
  Stop();
  Start();
  v1::ResumeJobRequest resume;
  resume.set_name(*name);
  ASSERT_TRUE(service_->client().Call(&v1::JobService::Stub::ResumeJob, resume).ok());
  EXPECT_EQ(DigestOf(*name), want);
  Stop();
}

}  // namespace
}  // namespace vernier
