// SIGTERM to any process at any moment of a job: everything that was told to leave leaves within a bound,
// comes back where something restarts it, nothing is left behind, and the job ends with the bytes of an
// undisturbed run.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <iostream>
#include <random>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/testing/tiny_model.h"
#include "tests/testing/training_fixture.h"

namespace vernier {
namespace {

constexpr absl::Duration kBound = absl::Seconds(15);  // some hundred milliseconds on a quiet machine
constexpr const char* kProcesses[] = {"vernier", "vernierd", "vernier-agent", "vernier-trainer"};

enum class Phase { kPreparing, kLoading, kTraining, kExporting, kEvaluating };
constexpr const char* kPhaseNames[] = {"preparing", "loading", "training", "exporting", "evaluating"};

class SignalsTest : public TrainingTest {
 protected:
  // Trains and then judges what was trained.
  static v1::JobSpec TwoStages() {
    v1::JobSpec spec = Job();
    v1::Stage& train = *spec.add_stages();
    train.set_id("fit");
    *train.mutable_train() = spec.train();
    train.mutable_train()->set_max_steps(60);
    spec.clear_train();
    v1::Stage& evaluate = *spec.add_stages();
    evaluate.set_id("judge");
    evaluate.mutable_evaluate()->mutable_model()->set_stage("fit");
    evaluate.mutable_evaluate()->mutable_decoding()->set_max_new_tokens(16);
    for (const char* const metric : {"loss", "exact_match", "rouge_l"}) {
      evaluate.mutable_evaluate()->add_metrics(metric);
    }
    return spec;
  }

  // Bytes of the adapter and what it was judged.
  std::string ResultOf(const std::string& name) {
    std::string result = DigestOf(name);
    const v1::Job job = Get(name);
    if (result.empty() || job.stages_size() != 2) return "";
    for (const char* const metric : {"loss", "exact_match", "rouge_l"}) {
      absl::StrAppend(&result, " ", job.stages(1).results().at(metric));
    }
    return result;
  }

  bool Reached(const std::string& name, Phase phase, int64_t step) {
    const v1::Job job = Get(name);
    if (job.stages_size() != 2) return false;
    const v1::StageStatus& fit = job.stages(0);
    switch (phase) {
      case Phase::kPreparing:
        return true;  // it begins with the job
      case Phase::kLoading:
        return fit.state() == v1::STAGE_STATE_STARTING || fit.state() == v1::STAGE_STATE_RUNNING;
      case Phase::kTraining:  // a checkpoint is written every second step
        return fit.progress().step() >= step;
      case Phase::kExporting:
        return fit.progress().phase() == "exporting" || fit.state() == v1::STAGE_STATE_SUCCEEDED;
      case Phase::kEvaluating:
        return job.stages(1).state() == v1::STAGE_STATE_STARTING ||
               job.stages(1).state() == v1::STAGE_STATE_RUNNING;
    }
    return false;
  }

  // Its place may be taken by another one by then.
  void AwaitGone(const std::string& process, pid_t pid) {
    const absl::Status gone = AwaitCondition(
        process,
        [&] {
          const auto now = service_->FindProcess(process);
          return !now.ok() || *now != pid;
        },
        kBound);
    EXPECT_TRUE(gone.ok()) << gone << "\n" << service_->Logs();
  }

  // SIGTERM, and it is gone within the bound; `up` with all of its own. False: there was no such process.
  bool Terminate(const std::string& victim) {
    const auto pid = service_->FindProcess(victim);
    if (!pid.ok()) return false;
    const absl::Time start = absl::Now();
    if (victim == "vernier") {
      Stop();
      for (const char* const process : kProcesses) {
        EXPECT_FALSE(service_->FindProcess(process).ok()) << process << " was left behind";
      }
      Start();
    } else {
      EXPECT_EQ(::kill(*pid, SIGTERM), 0);
      AwaitGone(victim, *pid);
    }
    EXPECT_LT(absl::Now() - start, kBound) << victim;
    return true;
  }

  void SpinFor(absl::Duration duration) {
    const absl::Time moment = absl::Now() + duration;
    while (absl::Now() < moment) {
    }
  }
};

TEST_F(SignalsTest, AtSeededMomentsOfAJobChangesNothing) {
  Start();
  const std::string name = Submit(TwoStages());
  const std::string want = ResultOf(name);
  ASSERT_NE(want, "");
  int hits = 0;
  for (int seed = 1; hits < 12; ++seed) {
    ASSERT_LE(seed, 24) << "too few of the signals hit a process";
    std::mt19937 random(seed);
    const Phase phase = static_cast<Phase>(seed % 5);
    const std::string victim = kProcesses[seed % 4];
    const int64_t step = 1 + static_cast<int64_t>(random() % 50);
    const absl::Duration later = absl::Microseconds(random() % 60'000);
    if (phase == Phase::kPreparing) {  // or it would find its rows prepared
      std::filesystem::remove_all(folder_.File("data/objects/tenants/default/prepared"));
    }
    const std::string job = Submit(TwoStages());
    ASSERT_NE(job, "");
    const absl::Status reached =
        AwaitCondition("the phase", [&] { return Reached(job, phase, step) || JobEnded(job); });
    ASSERT_TRUE(reached.ok()) << reached << Get(job).DebugString() << service_->Logs();
    SpinFor(later);
    const absl::Time start = absl::Now();
    const bool hit = Terminate(victim);
    hits += hit ? 1 : 0;
    const std::string story = absl::StrCat(
        "seed ", seed, ": ", victim, hit ? "" : " (does not run)", " while ",
        kPhaseNames[static_cast<int>(phase)], " + ", absl::FormatDuration(later), ", gone after ",
        absl::FormatDuration(absl::Trunc(absl::Now() - start, absl::Milliseconds(1))));
    EXPECT_EQ(ResultOf(job), want) << story;
    std::cout << story << std::endl;
    ASSERT_FALSE(HasFailure()) << story;
  }
  Stop();
}

// An import is a call: it is done, or its caller learns that it is not and asks again.
TEST_F(SignalsTest, DuringAnImportLeavesTheModelWholeOrAbsent) {
  Start();
  for (int seed = 1; seed <= 8; ++seed) {
    std::mt19937 random(seed);
    const std::string model = folder_.File(absl::StrCat("model-", seed));
    ASSERT_TRUE(tiny::WriteModelFolder(model, 100 + seed).ok());
    const std::string victim = kProcesses[random() % 2];
    const absl::Duration later = absl::Microseconds(random() % 8'000);
    absl::StatusOr<pid_t> pid;
    const absl::Status runs = AwaitCondition(victim, [&] {  // the seed before may have ended it
      pid = service_->FindProcess(victim);
      return pid.ok();
    });
    ASSERT_TRUE(runs.ok()) << runs << service_->Output();
    absl::Status imported;
    std::thread import([&, client = &service_->client()] {
      imported = client->ImportModel(model, absl::StrCat("model-", seed), nullptr).status();
    });
    SpinFor(later);
    if (victim == "vernier") {
      Stop();
    } else {
      EXPECT_EQ(::kill(*pid, SIGTERM), 0);
    }
    import.join();
    std::cout << "seed " << seed << ": " << victim << " + " << absl::FormatDuration(later) << ": " << imported
              << std::endl;
    EXPECT_TRUE(imported.ok() || absl::IsUnavailable(imported) || absl::IsCancelled(imported)) << imported;
    if (victim == "vernier") {
      Start();
    } else {
      AwaitGone(victim, *pid);
    }
    const absl::Status mended = AwaitCondition("the import", [&] {
      return service_->client().ImportModel(model, absl::StrCat("model-", seed), nullptr).ok();
    });
    ASSERT_TRUE(mended.ok()) << mended << service_->Logs();
  }
  v1::JobSpec spec = Job();
  spec.mutable_model()->set_base("model-8");
  spec.mutable_train()->set_max_steps(2);
  EXPECT_NE(DigestOf(Submit(spec)), "");
  Stop();
}

}  // namespace
}  // namespace vernier
