// A job that failed goes on once what it lacked is there again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/unit/server_core/core_fixture.h"

namespace vernier::server {
namespace {

using testing::HasSubstr;

class ReopenTest : public CoreFixture {
 protected:
  void FailForItsModel(Held& held) {
    Finish(held, absl::StrCat("code: 9 message: 'base model: ", held.task.train().model_key(),
                              "/manifest.json: no such object; import the model again'"));
  }
  absl::Status Resume(const std::string& job) {
    const absl::Status status = core->ResumeJob(kTenant, job, now).status();
    Pump();
    return status;
  }
};

TEST_F(ReopenTest, AJobWhoseModelVanishedGoesOnFromItsCheckpointOnceThatIsBack) {
  const std::string job =
      Submit("stages { id: 'sft' train {} } stages { id: 'judge' evaluate { model { stage: 'sft' } } }");
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held sft = Accept(agent);
  Checkpoint(sft, 5);
  FailForItsModel(sft);
  ASSERT_EQ(Get(job).state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(Get(job).error().message(), HasSubstr("import the model again; then `vernier resume "));

  ASSERT_TRUE(core->DeleteModel(kTenant, "smollm2").ok());
  const absl::Status early = Resume(job);
  EXPECT_EQ(early.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(early.message()),
              HasSubstr("model \"smollm2\" (eeeeeeeeeeee) is not there any more"));
  AddThings();
  Restart();
  const ConnectionId back = Connect();
  ASSERT_TRUE(Resume(job).ok());
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_VALIDATING);
  EXPECT_FALSE(Get(job).has_error() || Get(job).has_end_time());
  EXPECT_TRUE(Resume(job).ok()) << "asked twice";
  Prepare(back);
  sft = Accept(back);
  EXPECT_EQ(sft.task.train().resume_key(), Stage(job).checkpoints(0).key());
  Publish(sft);
  Finish(sft);
  Held judge = Accept(back);
  Finish(judge);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(ReopenTest, AnAdapterOfAJobThatWasDeletedIsMissedAtOnce) {
  const ConnectionId agent = Connect();
  const std::string first = Submit();
  Prepare(agent);
  Held sft = Accept(agent);
  Publish(sft);
  Finish(sft);
  const std::string second = Submit(absl::StrCat("train { init_from { job: '", first, "' } }"));
  Prepare(agent);
  Held held = Accept(agent);
  EXPECT_EQ(held.task.train().init_adapter_key(), ArtifactKey(sft, "adapter"));
  FailForItsModel(held);
  ASSERT_EQ(Get(second).state(), v1::JOB_STATE_FAILED);
  ASSERT_TRUE(core->DeleteJob(kTenant, first, now).ok());
  const absl::Status refused = Resume(second);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr(absl::StrCat(first, ", which stage \"train\" builds on, was deleted")));
  EXPECT_EQ(Get(second).state(), v1::JOB_STATE_FAILED);
}

TEST_F(ReopenTest, AnImportedAdapterThatIsBackLetsTheJobGoOn) {
  AdapterRecord adapter;
  adapter.set_digest(Digest('c'));
  adapter.set_key("tenants/default/adapters/" + Digest('c'));
  ASSERT_TRUE(core->RegisterAdapter(kTenant, adapter, now).ok());
  const std::string job = Submit("train { init_from { adapter: 'adapters/" + Digest('c') + "' } }");
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held held = Accept(agent);
  FailForItsModel(held);
  ASSERT_TRUE(core->DeleteAdapter(kTenant, Digest('c')).ok());
  EXPECT_THAT(std::string(Resume(job).message()), HasSubstr("import the same one again"));
  ASSERT_TRUE(core->RegisterAdapter(kTenant, adapter, now).ok());
  EXPECT_TRUE(Resume(job).ok());
}

TEST_F(ReopenTest, StagesThatSucceededAreNotRunAgain) {
  const std::string job =
      Submit("stages { id: 'sft' train {} } stages { id: 'judge' evaluate { model { stage: 'sft' } } }");
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held sft = Accept(agent);
  Publish(sft);
  Finish(sft);
  Held judge = Accept(agent);
  Finish(judge, "code: 5 message: 'gone'");
  ASSERT_EQ(Get(job).state(), v1::JOB_STATE_FAILED);
  ASSERT_TRUE(Resume(job).ok());
  EXPECT_EQ(Stage(job, 0).state(), v1::STAGE_STATE_SUCCEEDED);
  Prepare(agent);
  judge = Accept(agent);
  EXPECT_EQ(judge.task.evaluate().adapter_key(), ArtifactKey(sft, "adapter"));
  Finish(judge);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(ReopenTest, AnExportWaitsForItsStageOnceMore) {
  const std::string job =
      Submit("stages { id: 'sft' train {} } stages { id: 'out' export { model { stage: 'sft' } } }");
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held sft = Accept(agent);
  FailForItsModel(sft);
  EXPECT_EQ(Stage(job, 1).state(), v1::STAGE_STATE_CANCELLED);
  ASSERT_TRUE(Resume(job).ok());
  EXPECT_EQ(Stage(job, 1).state(), v1::STAGE_STATE_WAITING);
  Prepare(agent);
  sft = Accept(agent);
  Publish(sft);
  Finish(sft);
  Held out = Accept(agent);
  Publish(out, "merged");
  Finish(out);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(ReopenTest, ADamagedDatasetIsNamedAtOnceAndMendingItLetsTheJobGoOn) {
  const std::string job = Submit();
  const ConnectionId agent = Connect();
  Held held = Accept(agent, v1::Task::kPrepare);
  EXPECT_FALSE(core->MayBeDamaged(kTenant, Digest('d')));
  Finish(held, absl::StrCat("code: 15 message: '", held.task.prepare().dataset_key(),
                            ": the SHA-256 of its bytes is 1234; upload it again'"));
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(Get(job).error().code(), "DATA_LOSS");
  EXPECT_TRUE(core->MayBeDamaged(kTenant, Digest('d')));
  EXPECT_FALSE(core->MayBeDamaged(kTenant, Digest('e'))) << "another one";
  EXPECT_THAT(Get(job).error().message(), testing::AllOf(testing::StartsWith("dataset \"chat\": "),
                                                         HasSubstr("; then `vernier resume ")));
  ASSERT_TRUE(Resume(job).ok());
  Prepare(agent);
  Held train = Accept(agent);
  EXPECT_TRUE(train.task.has_train());
}

TEST_F(ReopenTest, WhatIsWrongWithTheJobItselfIsNotTriedAgain) {
  const std::string job = Submit();
  const ConnectionId agent = Connect();
  Held held = Accept(agent, v1::Task::kPrepare);
  Finish(held, "code: 3 message: 'line 3: broken JSON'");
  const absl::Status refused = Resume(job);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("correct the job and submit it: line 3: broken JSON"));
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_FAILED);
}

TEST_F(ReopenTest, JobsThatSucceededOrWereCancelledStayAsTheyAre) {
  const std::string cancelled = Submit();
  ASSERT_TRUE(core->CancelJob(kTenant, cancelled, now).ok());
  EXPECT_EQ(Resume(cancelled).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ReopenTest, AFullQueueHasNoRoomForIt) {
  const std::string job = Submit();
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held held = Accept(agent);
  FailForItsModel(held);
  options.limits.max_waiting_jobs = 1;
  Restart();
  const std::string other = Submit();
  EXPECT_EQ(Resume(job).code(), absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(core->CancelJob(kTenant, other, now).ok());
  EXPECT_TRUE(Resume(job).ok());
}

}  // namespace
}  // namespace vernier::server
