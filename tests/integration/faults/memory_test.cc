// Trainers that run out of memory: told apart by how it shows, ended with a sentence that says what to lower.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "tests/testing/tiny_model.h"
#include "tests/testing/training_fixture.h"

namespace vernier {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// A field of /proc/PID/status in bytes, e.g. "VmPeak"; 0: it has none.
int64_t MemoryOf(pid_t pid, absl::string_view field) {
  const auto text = ReadFile(absl::StrCat("/proc/", pid, "/status"));
  if (!text.ok()) return 0;
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<absl::string_view> parts =
        absl::StrSplit(line, absl::ByAnyChar(": \t"), absl::SkipEmpty());
    int64_t kilobytes = 0;
    if (parts.size() == 3 && parts[0] == field && absl::SimpleAtoi(parts[1], &kilobytes))
      return kilobytes << 10;
  }
  return 0;
}

class MemoryTest : public TrainingTest {};

// The agent's trainers may take a little more address space than a small job needs, as under `ulimit -v`.
TEST_F(MemoryTest, AStepThatDoesNotFitFailsWithTheWayOutAndTheWayOutWorks) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer reserves terabytes of address space: no limit on it can be set";
#endif
  Start();
  const std::string small = Submit(Job());
  AwaitStep(small, 100);
  const auto trainer = service_->FindProcess("vernier-trainer");
  ASSERT_TRUE(trainer.ok()) << trainer.status();
  const int64_t needed = MemoryOf(*trainer, "VmPeak");
  ASSERT_GT(needed, 0);
  const std::string want = DigestOf(small);

  folder_.Write("many.jsonl", tiny::RowsAsJsonl(tiny::MakeRows(16000)));
  ASSERT_TRUE(service_->client().UploadDataset(folder_.File("many.jsonl"), "many").ok());
  const auto agent = service_->FindProcess("vernier-agent");
  ASSERT_TRUE(agent.ok()) << agent.status();
  // The agent itself must not run into it: it would be started anew, without a limit.
  const int64_t own = MemoryOf(*agent, "VmPeak");
  const int64_t allowed = std::max(needed, own) + (int64_t{256} << 20);
  std::cout << "agent " << own << " trainer " << needed << " allowed " << allowed << std::endl;
  const rlimit limit = {static_cast<rlim_t>(allowed), static_cast<rlim_t>(allowed)};
  ASSERT_EQ(::prlimit(*agent, RLIMIT_AS, &limit, nullptr), 0);

  v1::JobSpec spec = Job();
  spec.mutable_data()->set_source("many");
  v1::TrainStage& train = *spec.mutable_train();
  train.mutable_batch()->set_rows(16000);
  train.set_virtual_shards(1);
  train.set_micro_batch_tokens(1 << 20);
  train.set_max_steps(1);
  const std::string big = Submit(spec);
  const auto failed = service_->AwaitEnd(big);
  ASSERT_TRUE(failed.ok()) << failed.status() << service_->Logs();
  std::cout << "failed: " << failed->state_reason() << std::endl;
  EXPECT_EQ(failed->state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(failed->error().code(), "RESOURCE_EXHAUSTED") << failed->DebugString();
  EXPECT_THAT(failed->error().message(),
              AllOf(HasSubstr("out of memory"), HasSubstr("; lower micro_batch_tokens or data.max_tokens"),
                    HasSubstr("twice at step 0")));

  train.set_micro_batch_tokens(2048);
  EXPECT_NE(DigestOf(Submit(spec)), "");
  EXPECT_EQ(Undisturbed(), want);
  Stop();
}

// As the kernel does it when the machine has no memory left.
TEST_F(MemoryTest, ATrainerKilledAgainAndAgainFailsWithAHintAtMemory) {
  Start();
  const std::string want = Undisturbed();
  v1::JobSpec spec = Job();
  spec.set_max_attempts(3);
  spec.mutable_train()->mutable_checkpoint()->set_every_steps(0);
  spec.mutable_train()->set_max_steps(100'000);
  const std::string name = Submit(spec);
  for (int attempt = 1; attempt <= 3; ++attempt) {
    pid_t trainer = 0;
    const absl::Status runs = AwaitCondition("training", [&] {
      const v1::Job job = Get(name);
      const auto found = service_->FindProcess("vernier-trainer");
      trainer = found.value_or(0);
      return job.stages_size() == 1 && job.stages(0).attempts() == attempt &&
             job.stages(0).state() == v1::STAGE_STATE_RUNNING && found.ok();
    });
    ASSERT_TRUE(runs.ok()) << runs << Get(name).DebugString() << service_->Logs();
    ASSERT_EQ(::kill(trainer, SIGKILL), 0);
    const absl::Status gone = AwaitCondition("its end", [&] { return ::kill(trainer, 0) != 0; });
    ASSERT_TRUE(gone.ok()) << gone;
  }
  const auto failed = service_->AwaitEnd(name);
  ASSERT_TRUE(failed.ok()) << failed.status();
  std::cout << "failed: " << failed->state_reason() << std::endl;
  EXPECT_EQ(failed->state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(failed->stages(0).attempts(), 3);
  EXPECT_THAT(failed->error().message(),
              AllOf(HasSubstr("the trainer was killed by signal 9"), HasSubstr("ran out of memory"),
                    HasSubstr("lower micro_batch_tokens or data.max_tokens"),
                    HasSubstr("attempt 3 of 3 without a new checkpoint")));
  EXPECT_EQ(Undisturbed(), want);
  Stop();
}

}  // namespace
}  // namespace vernier
