// The real vernier-trainer on a tiny model, driven by a TrainerService of this test in the agent's place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/child_process.h"
#include "common/file.h"
#include "storage/folder_store.h"
#include "tests/testing/tiny_model.h"
#include "tests/unit/worker_trainer/fake_agent.h"

namespace vernier::trainer {
namespace {

using testing::HasSubstr;

class TrainerProcessTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = "/tmp/vernier-trainer-test-XXXXXX";
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
    auto store = storage::FolderStore::Open({.root = folder_ + "/objects"});
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    model_key_ = tiny::ImportModel(*store_).value();
    ASSERT_TRUE(
        tiny::WritePrepared(*store_, "tenants/default/prepared/p", tiny::MakeRows(20), tiny::MakeRows(4, 300))
            .ok());
    agent_ = std::make_unique<FakeAgent>(folder_ + "/agent.sock");
  }
  void TearDown() override {
    agent_ = nullptr;
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  v1::Task Train(int64_t steps) {
    v1::Task task;
    task.set_job("jobs/j1");
    task.set_stage("sft");
    task.set_attempt(static_cast<int32_t>(++attempts_));
    task.set_token(attempts_);
    task.set_incarnation(absl::StrCat("i", attempts_));
    task.set_store("file://" + folder_ + "/objects");
    task.set_tenant("default");
    task.set_seed(17);
    task.set_threads(1);
    v1::TrainTask& train = *task.mutable_train();
    train.set_model_key(model_key_);
    train.set_model_name("tiny");
    train.set_prepared_key("tenants/default/prepared/p");
    train.set_output_key("tenants/default/jobs/j1/stages/sft");
    v1::TrainStage& stage = *train.mutable_stage();
    stage.mutable_tuning()->mutable_lora()->set_rank(4);
    stage.mutable_objective()->mutable_causal_lm();
    stage.mutable_optimizer()->mutable_adamw()->set_learning_rate(1e-2);
    stage.mutable_batch()->set_rows(4);
    stage.set_max_steps(steps);
    stage.set_precision(v1::PRECISION_FP32);
    stage.mutable_checkpoint()->set_every_steps(2);
    return task;
  }

  pid_t Start(const std::string& lease = kLease, std::vector<std::string> environment = {}) {
    ChildOptions options;
    options.arguments = {std::string(VERNIER_BIN_DIR) + "/vernier-trainer",
                         "--socket",
                         agent_->socket(),
                         "--lease",
                         lease,
                         "--threads",
                         "1"};
    options.environment = std::move(environment);
    options.log_path = folder_ + "/trainer.log";
    const auto pid = SpawnChild(options);
    EXPECT_TRUE(pid.ok()) << pid.status();
    return *pid;
  }
  static std::string Wait(pid_t pid) {
    int exit_code = 0;
    std::string how = WaitChild(pid, &exit_code);
    ReapChild(pid);
    return how;
  }
  std::string Log() const { return ReadFile(folder_ + "/trainer.log").value_or(""); }
  static std::string TensorDigest(FakeAgent& agent) {
    const auto artifacts = agent.Where(&v1::TaskEvent::has_artifact);
    if (artifacts.empty()) return "nothing published";
    for (const v1::ArtifactFile& file : artifacts.back().artifact().files()) {
      if (file.name() == "adapter_model.safetensors") return file.sha256();
    }
    return "no tensors";
  }
  v1::Task ResumeNewest(v1::Task task) {
    const auto checkpoints = agent_->Where(&v1::TaskEvent::has_checkpoint);
    if (checkpoints.empty()) return task;
    task.mutable_train()->set_resume_key(checkpoints.back().checkpoint().key());
    task.mutable_train()->set_resume_manifest_sha256(checkpoints.back().checkpoint().manifest_sha256());
    return task;
  }

  std::string folder_;
  std::unique_ptr<storage::FolderStore> store_;
  std::string model_key_;
  std::unique_ptr<FakeAgent> agent_;
  uint64_t attempts_ = 0;
};

TEST_F(TrainerProcessTest, RunsItsTaskAndLeaves) {
  agent_->SetTask(Train(6));
  EXPECT_EQ(Wait(Start()), "exited with code 0") << Log();
  const v1::TaskFinished finished = agent_->finished();
  EXPECT_EQ(finished.code(), 0) << finished.message();
  EXPECT_EQ(finished.cause(), v1::TaskFinished::CAUSE_RAISED);
  EXPECT_EQ(finished.step(), 6);
  EXPECT_FALSE(finished.stopped());
  EXPECT_LT(finished.results().at("valid_loss"), finished.results().at("valid_loss_before"));
  EXPECT_EQ(agent_->Where(&v1::TaskEvent::has_started).size(), 1u);
  std::vector<std::string> published;
  for (const v1::TaskEvent& event : agent_->Where(&v1::TaskEvent::has_artifact)) {
    published.push_back(event.artifact().name());
  }
  EXPECT_THAT(published, testing::UnorderedElementsAre("adapter", "ledger"));
  EXPECT_EQ(agent_->Where(&v1::TaskEvent::has_checkpoint).size(), 3u);
  int64_t metrics = 0;
  for (const v1::TaskEvent& event : agent_->Where(&v1::TaskEvent::has_metric)) {
    metrics += static_cast<int64_t>(event.metric().values().count("train_loss"));
    EXPECT_GT(event.time_unix_micros(), 0);
  }
  EXPECT_EQ(metrics, 6);
}

TEST_F(TrainerProcessTest, AStopCommandCheckpointsAndLeaves) {
  agent_->SetTask(Train(100000));
  agent_->StopAtStep(3);
  EXPECT_EQ(Wait(Start()), "exited with code 0") << Log();
  const v1::TaskFinished finished = agent_->finished();
  EXPECT_EQ(finished.code(), 0) << finished.message();
  EXPECT_TRUE(finished.stopped());
  EXPECT_GE(finished.step(), 3);
  EXPECT_EQ(agent_->Where(&v1::TaskEvent::has_checkpoint).back().checkpoint().step(), finished.step());
}

TEST_F(TrainerProcessTest, SigtermIsAStopRequest) {
  agent_->SetTask(Train(100000));
  const pid_t pid = Start();
  ASSERT_TRUE(agent_->WaitForStep(2)) << Log();
  ::kill(pid, SIGTERM);
  EXPECT_EQ(Wait(pid), "exited with code 0") << Log();
  EXPECT_TRUE(agent_->finished().stopped());
}

TEST_F(TrainerProcessTest, ABrokenStreamEndsItAtOnce) {
  agent_->SetTask(Train(100000));
  const pid_t pid = Start();
  ASSERT_TRUE(agent_->WaitForStep(2)) << Log();
  const absl::Time begin = absl::Now();
  agent_->Vanish();
  EXPECT_EQ(Wait(pid), "exited with code 70");
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
  EXPECT_THAT(Log(), HasSubstr("leaving at once"));
}

TEST_F(TrainerProcessTest, AFailedTaskIsToldWithItsCode) {
  v1::Task task = Train(6);
  task.mutable_train()->set_model_key("tenants/default/models/none");
  agent_->SetTask(task);
  EXPECT_EQ(Wait(Start()), "exited with code 0") << Log();
  const v1::TaskFinished finished = agent_->finished();
  EXPECT_EQ(finished.code(), static_cast<int>(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(finished.message(), HasSubstr("models/none"));
}

TEST_F(TrainerProcessTest, ATaskThatItDoesNotKnowIsAnError) {
  v1::Task task = Train(6);
  task.clear_work();
  agent_->SetTask(task);
  EXPECT_EQ(Wait(Start()), "exited with code 0") << Log();
  EXPECT_EQ(agent_->finished().code(), static_cast<int>(absl::StatusCode::kInvalidArgument));
}

TEST_F(TrainerProcessTest, AnUnknownLeaseIsOneClearLine) {
  EXPECT_EQ(Wait(Start("lease-2")), "exited with code 1");
  EXPECT_THAT(Log(), HasSubstr("no task waits under this lease"));
}

TEST_F(TrainerProcessTest, ABadFaultSpecIsOneClearLine) {
  EXPECT_EQ(Wait(Start(kLease, {"VERNIER_FAULT=explode@point=before_step"})), "exited with code 1");
  EXPECT_THAT(Log(), HasSubstr("VERNIER_FAULT"));
}

// Law 3 with real kills: at each point, the attempt that resumes publishes the bytes of the undisturbed run.
TEST_F(TrainerProcessTest, KilledAnywhereTheNextAttemptPublishesTheSameBytes) {
  agent_->SetTask(Train(6));
  ASSERT_EQ(Wait(Start()), "exited with code 0") << Log();
  const std::string want = TensorDigest(*agent_);
  for (const char* point :
       {"step=1,point=before_step", "step=4,point=after_backward", "step=5,point=after_update",
        "step=4,point=during_checkpoint", "step=2,point=before_manifest", "step=4,point=after_manifest",
        "step=6,point=before_publish"}) {
    SCOPED_TRACE(point);
    agent_ = nullptr;
    agent_ = std::make_unique<FakeAgent>(folder_ + "/agent.sock");
    agent_->SetTask(Train(6));
    EXPECT_THAT(Wait(Start(kLease, {absl::StrCat("VERNIER_FAULT=kill@", point)})), HasSubstr("signal 9"));
    EXPECT_EQ(TensorDigest(*agent_), "nothing published");
    agent_->SetTask(ResumeNewest(Train(6)));
    EXPECT_EQ(Wait(Start()), "exited with code 0") << Log();
    EXPECT_EQ(TensorDigest(*agent_), want);
  }
}

}  // namespace
}  // namespace vernier::trainer
