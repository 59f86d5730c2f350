// The life of a job as its owner sees it.
#include <gmock/gmock.h>

#include "tests/unit/server_core/core_fixture.h"

namespace vernier::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class JobsTest : public CoreFixture {};

TEST_F(JobsTest, AJobPreparesTrainsAndSucceeds) {
  const std::string job = Submit();
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_VALIDATING);
  EXPECT_THAT(Get(job).state_reason(), HasSubstr("no agent is connected"));
  const ConnectionId agent = Connect();
  Prepare(agent);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_STARTING);
  EXPECT_EQ(Stage(job).data_report().num_rows(), 100);

  Held held = Accept(agent);
  EXPECT_EQ(held.task.job(), job);
  EXPECT_EQ(held.task.attempt(), 1);
  EXPECT_EQ(held.task.threads(), 4);
  EXPECT_EQ(held.task.train().model_key(), absl::StrCat("tenants/default/models/", Digest('e')));
  EXPECT_EQ(held.task.train().prepared_key(), "tenants/default/prepared/p");
  EXPECT_EQ(held.task.train().resume_key(), "");
  EXPECT_EQ(held.task.train().stage().tuning().lora().rank(), 8);
  Tell(held, "started { pid: 7 note: 'fp32: this CPU has no bf16' numeric_class: 'precision=fp32' }");
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_RUNNING);
  EXPECT_TRUE(Get(job).has_start_time());
  EXPECT_THAT(Stage(job).notes(), ElementsAre("fp32: this CPU has no bf16", "numeric class: precision=fp32"));
  Tell(held, "progress { phase: 'training' step: 3 total_steps: 9 }");
  EXPECT_EQ(Stage(job).progress().step(), 3);
  const std::vector<JobProgress> live = Take<JobProgress>();
  ASSERT_THAT(live, SizeIs(1));
  EXPECT_EQ(live[0].event.sequence(), 0);
  Checkpoint(held, 5);
  Publish(held);
  Finish(held, "results { key: 'valid_loss' value: 1.5 } step: 9");

  const v1::Job done = Get(job);
  EXPECT_EQ(done.state(), v1::JOB_STATE_SUCCEEDED) << done.DebugString();
  EXPECT_EQ(done.stages(0).results().at("valid_loss"), 1.5);
  EXPECT_EQ(done.stages(0).attempts(), 1);
  EXPECT_TRUE(done.has_end_time());
  const auto artifact = core->GetArtifact(kTenant, job, "", "");
  ASSERT_TRUE(artifact.ok()) << artifact.status();
  EXPECT_EQ(artifact->key(), ArtifactKey(held, "adapter"));
  EXPECT_EQ(artifact->stage(), "train");
  EXPECT_THAT(Take<WriteMetrics>(), SizeIs(1));
}

TEST_F(JobsTest, HistoriesHaveNoGapsAndEndWithTheEnd) {
  const std::string job = Submit();
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held held = Accept(agent);
  Publish(held);
  Finish(held);
  const auto events = core->ListEvents(kTenant, job, 0, 1000);
  ASSERT_TRUE(events.ok());
  for (size_t i = 0; i < events->size(); ++i) EXPECT_EQ((*events)[i].sequence(), i + 1);
  EXPECT_EQ(events->back().state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_THAT(*core->ListEvents(kTenant, job, events->back().sequence(), 10), IsEmpty());
}

TEST_F(JobsTest, TheSameRequestMakesOneJob) {
  const std::string first = Submit("", "request-1");
  EXPECT_EQ(Submit("", "request-1"), first);
  EXPECT_NE(Submit("", "request-2"), first);
  Restart();
  EXPECT_EQ(Submit("", "request-1"), first);
}

TEST_F(JobsTest, ASpecWithErrorsMakesNoJob) {
  const auto job = core->CreateJob(kTenant, SpecOf("train { max_steps: 0 }"), "r", now);
  EXPECT_TRUE(absl::IsInvalidArgument(job.status()));
  EXPECT_THAT(core->ListJobs(kTenant, {})->jobs(), IsEmpty());
  EXPECT_TRUE(core->CreateJob(kTenant, SpecOf(""), "r", now).ok()) << "the request can be corrected";
}

TEST_F(JobsTest, BadRowsFailTheJobBeforeItQueues) {
  const std::string job = Submit();
  const ConnectionId agent = Connect();
  Held held = Accept(agent);
  Finish(held, "code: 3 message: 'data: line 7: no assistant turn'");
  const v1::Job failed = Get(job);
  EXPECT_EQ(failed.state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(failed.error().code(), "INVALID_ARGUMENT");
  EXPECT_THAT(failed.error().message(), HasSubstr("line 7"));
  EXPECT_EQ(failed.error().stage(), "train");
  EXPECT_THAT(failed.state_reason(), HasSubstr("line 7"));
}

TEST_F(JobsTest, WhatThePoliciesForRowsDidIsSaid) {
  const ConnectionId agent = Connect();
  const std::string job = Submit();
  Prepare(agent, "num_rows: 90 num_bad_rows: 1 num_overlong_rows: 12 num_dropped_rows: 10 tokens_lost: 4000");
  const std::string lost = "1 bad row and 12 overlong rows: 10 rows dropped, 4000 tokens lost";
  EXPECT_THAT(History(job), HasSubstr(lost));
  EXPECT_THAT(Stage(job).data_report().notes(), ElementsAre(lost));
  const std::string split = Submit();
  Prepare(agent, "num_rows: 101 num_overlong_rows: 1");
  EXPECT_THAT(History(split), HasSubstr("1 overlong row: nothing lost"));
}

TEST_F(JobsTest, WeightsAreNoAdapterAndItSaysWhatToDo) {
  const std::string job = Submit("train { tuning { full {} } }");
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held held = Accept(agent);
  Publish(held, "weights");
  Finish(held);
  const auto next =
      core->CreateJob(kTenant, SpecOf(absl::StrCat("train { init_from { job: '", job, "' } }")), "next", now);
  EXPECT_THAT(std::string(next.status().message()), HasSubstr("but whole weights; pull them"));
}

TEST_F(JobsTest, AShareThatHoldsNoRowFailsTheJob) {
  const std::string job = Submit("train { data { source: 'chat' validation { from: '1%' } } }");
  Prepare(Connect(), "num_rows: 3 num_validation_rows: 0");
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(Get(job).error().message(), HasSubstr("data.validation = \"1%\" of 3 rows holds no row"));
}

TEST_F(JobsTest, StagesRunInOrderAndEvaluateWhatWasPublished) {
  const std::string job =
      Submit("stages { id: 'judge' evaluate { model { stage: 'sft' } } } stages { id: 'sft' train {} }");
  const ConnectionId agent = Connect();
  Prepare(agent);  // both have the same rows: one task
  EXPECT_THAT(Stage(job, 0).data_report().num_rows(), 100);
  EXPECT_THAT(History(job), HasSubstr("the same as another stage's"));
  EXPECT_EQ(Stage(job, 0).state(), v1::STAGE_STATE_WAITING);
  EXPECT_EQ(Stage(job, 0).reason(), "waits for stage sft");
  Held sft = Accept(agent);
  ASSERT_TRUE(sft.task.has_train());
  Tell(sft, "started {}");
  Publish(sft);
  Finish(sft);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_STARTING);
  Held judge = Accept(agent);
  ASSERT_TRUE(judge.task.has_evaluate());
  EXPECT_EQ(judge.task.evaluate().adapter_key(), ArtifactKey(sft, "adapter"));
  EXPECT_EQ(judge.task.evaluate().model_key(), absl::StrCat("tenants/default/models/", Digest('e')));
  EXPECT_FALSE(judge.task.evaluate().use_validation());
  Finish(judge, "results { key: 'loss' value: 2 }");
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(JobsTest, WeightsOfAStageBecomeTheModelOfTheNext) {
  Submit("stages { id: 'a' train { tuning { full {} } } } stages { id: 'b' train { model { stage: 'a' } } }");
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held a = Accept(agent);
  Publish(a, "weights");
  Finish(a);
  Held b = Accept(agent);
  EXPECT_EQ(b.task.train().model_key(), ArtifactKey(a, "weights"));
}

TEST_F(JobsTest, AnExportFollowsItsStageWithoutDataOfItsOwn) {
  const std::string job = Submit(
      "stages { id: 'sft' train { data { source: 'chat' chat_template: 'own' } } }"
      "stages { id: 'out' export { model { stage: 'sft' } profiles: ['peft', 'merged'] } }");
  const ConnectionId agent = Connect();
  EXPECT_EQ(Stage(job, 1).state(), v1::STAGE_STATE_WAITING);
  EXPECT_EQ(Stage(job, 1).kind(), "export");
  Prepare(agent);
  Held sft = Accept(agent);
  Tell(sft, "started {}");
  Publish(sft);
  Finish(sft);
  Held out = Accept(agent);
  ASSERT_TRUE(out.task.has_export_());
  EXPECT_EQ(out.task.export_().adapter_key(), ArtifactKey(sft, "adapter"));
  EXPECT_EQ(out.task.export_().model_key(), absl::StrCat("tenants/default/models/", Digest('e')));
  EXPECT_EQ(out.task.export_().chat_template(), "own");
  EXPECT_FALSE(out.task.export_().prepared_key().empty()) << "rows to compare on";
  EXPECT_THAT(out.task.export_().done(), testing::IsEmpty());
  Publish(out, "peft");
  Tell(out, "finished { cause: CAUSE_KILLED message: 'killed by signal 9' }");
  Held again = Accept(agent);
  EXPECT_THAT(again.task.export_().done(), testing::ElementsAre("peft")) << "the next attempt makes the rest";
  EXPECT_THAT(again.task.export_().done_keys(), testing::ElementsAre(ArtifactKey(out, "peft")));
  Publish(again, "merged");
  Finish(again);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(JobsTest, AnExportOfAnotherJobNeedsNothingToBePrepared) {
  const std::string trained = Submit("train { tuning { full {} } }");
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held train = Accept(agent);
  Publish(train, "weights");
  Finish(train);
  const std::string job = Submit(absl::StrCat("stages { id: 'out' export { job: '", trained, "' } }"));
  EXPECT_THAT(History(job), Not(HasSubstr("data is being prepared")));
  Held out = Accept(agent);
  ASSERT_TRUE(out.task.has_export_());
  EXPECT_EQ(out.task.export_().model_key(), ArtifactKey(train, "weights"));
  EXPECT_EQ(out.task.export_().adapter_key(), "");
  EXPECT_EQ(out.task.export_().source(), absl::StrCat(trained, " stage \"train\""));
  EXPECT_THAT(std::string(core->DeleteJob(kTenant, trained, now).message()),
              HasSubstr("what it published is used by"));
  Finish(out);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(Get(job).error().message(), HasSubstr("exporting ended without publishing every profile"));
}

TEST_F(JobsTest, AFailedStageCancelsTheRest) {
  const std::string job =
      Submit("stages { id: 'sft' train {} } stages { id: 'judge' evaluate { model { stage: 'sft' } } }");
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held sft = Accept(agent);
  Finish(sft, "code: 13 message: 'loss is not finite'");
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(Stage(job, 0).state(), v1::STAGE_STATE_FAILED);
  EXPECT_EQ(Stage(job, 1).state(), v1::STAGE_STATE_CANCELLED);
  EXPECT_EQ(Get(job).error().stage(), "sft");
}

TEST_F(JobsTest, AFailedStageStopsItsRunningSiblings) {
  const std::string job = Submit("stages { id: 'x' train {} } stages { id: 'y' train {} }");
  const ConnectionId a = Connect("a", "i");
  const ConnectionId b = Connect("b", "i");
  Prepare(a);
  Held x = Accept(a);
  Held y = Accept(b);
  Tell(x, "started {}");
  Tell(y, "started {}");
  Finish(x, "code: 13 message: 'broken'");
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_RUNNING) << "y still runs";
  ASSERT_TRUE(HasMessage(b, v1::ServerMessage::kStop));
  Finish(y, "stopped: true");
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(Stage(job, 1).state(), v1::STAGE_STATE_CANCELLED);
}

TEST_F(JobsTest, TrainingWithoutAnArtifactIsAnError) {
  const std::string job = Submit();
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held held = Accept(agent);
  Finish(held);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(Get(job).error().code(), "INTERNAL");
}

TEST_F(JobsTest, WhatBuildsOnAnArtifactThatWasNotPublishedFails) {
  const std::string job = Submit(
      "stages { id: 'sft' train {} } stages { id: 'x' evaluate { model { stage: 'sft' } } } "
      "stages { id: 'y' evaluate { model { stage: 'sft' } metrics: 'perplexity' } }");
  const ConnectionId agent = Connect();
  Connect("b", "i");
  Prepare(agent);
  Held sft = Accept(agent);
  Publish(sft, "something");
  Finish(sft);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(Get(job).error().message(), HasSubstr("stage \"sft\" has no artifact \"adapter\" to build on"));
  EXPECT_EQ(Stage(job, 2).state(), v1::STAGE_STATE_CANCELLED);
}

// --- Pause, resume, cancel.

TEST_F(JobsTest, PauseCheckpointsAndResumeContinuesThere) {
  const std::string job = Submit();
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held held = Accept(agent);
  Tell(held, "started {}");
  ASSERT_TRUE(core->PauseJob(kTenant, job, now).ok());
  Pump();
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_PAUSING);
  EXPECT_TRUE(HasMessage(agent, v1::ServerMessage::kStop));
  EXPECT_EQ(core->PauseJob(kTenant, job, now)->state(), v1::JOB_STATE_PAUSING) << "idempotent";
  Checkpoint(held, 4);
  Finish(held, "stopped: true step: 4");
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_PAUSED);
  Advance(absl::Minutes(5));
  EXPECT_FALSE(HasMessage(agent, v1::ServerMessage::kPrepare)) << "paused jobs are not placed";

  ASSERT_TRUE(core->ResumeJob(kTenant, job, now).ok());
  Pump();
  Held again = Accept(agent);
  EXPECT_EQ(again.task.train().resume_key(), CheckpointKey(held, 4));
  EXPECT_EQ(again.task.train().resume_manifest_sha256(), "sha4");
  EXPECT_GT(again.task.token(), held.task.token());
  EXPECT_EQ(again.task.attempt(), 2);
}

TEST_F(JobsTest, ResumeBeforeItHadStoppedRunsOnAfterTheStop) {
  const std::string job = Submit();
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held held = Accept(agent);
  Tell(held, "started {}");
  ASSERT_TRUE(core->PauseJob(kTenant, job, now).ok());
  ASSERT_TRUE(core->ResumeJob(kTenant, job, now).ok());
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_RUNNING);
  Checkpoint(held, 4);
  Finish(held, "stopped: true");
  Held again = Accept(agent);
  EXPECT_EQ(again.task.train().resume_key(), CheckpointKey(held, 4));
}

TEST_F(JobsTest, PauseTakesBackWhatWasOnlyGranted) {
  const std::string job = Submit();
  const ConnectionId agent = Connect();
  Prepare(agent);
  const v1::PrepareLease prepare = NextPrepare(agent);
  ASSERT_TRUE(core->PauseJob(kTenant, job, now).ok());
  Pump();
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_PAUSED);
  EXPECT_TRUE(HasMessage(agent, v1::ServerMessage::kCancel));
  Reply(agent, prepare.lease());  // it was under way
  EXPECT_FALSE(HasMessage(agent, v1::ServerMessage::kCommit));
}

TEST_F(JobsTest, CancelWaitsForTheRunToStop) {
  const std::string job = Submit();
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held held = Accept(agent);
  Tell(held, "started {}");
  EXPECT_EQ(core->CancelJob(kTenant, job, now)->state(), v1::JOB_STATE_CANCELLING);
  EXPECT_TRUE(absl::IsFailedPrecondition(core->PauseJob(kTenant, job, now).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(core->ResumeJob(kTenant, job, now).status()));
  Finish(held, "stopped: true");
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(core->CancelJob(kTenant, job, now)->state(), v1::JOB_STATE_CANCELLED) << "idempotent";
}

TEST_F(JobsTest, CancelOfWhatDoesNotRunIsImmediate) {
  const std::string job = Submit();
  EXPECT_EQ(core->CancelJob(kTenant, job, now)->state(), v1::JOB_STATE_CANCELLED);
  EXPECT_EQ(Stage(job).state(), v1::STAGE_STATE_CANCELLED);
}

TEST_F(JobsTest, AnErrorWhileBeingCancelledIsToldButCancels) {
  const std::string job = Submit();
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held held = Accept(agent);
  ASSERT_TRUE(core->CancelJob(kTenant, job, now).ok());
  Finish(held, "code: 13 message: 'no space for the checkpoint'");
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_CANCELLED);
  EXPECT_THAT(History(job), HasSubstr("while it was being stopped: no space for the checkpoint"));
}

TEST_F(JobsTest, AJobThatWasQuickerThanItsCancellationSucceeds) {
  const std::string job = Submit();
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held held = Accept(agent);
  ASSERT_TRUE(core->CancelJob(kTenant, job, now).ok());
  Publish(held);
  Finish(held);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_TRUE(absl::IsFailedPrecondition(core->CancelJob(kTenant, job, now).status()));
}

TEST_F(JobsTest, WhatDoesNotStopInTimeIsKilled) {
  const std::string job = Submit();
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held held = Accept(agent);
  ASSERT_TRUE(core->CancelJob(kTenant, job, now).ok());
  Pump();
  for (int i = 0; i < 200; ++i) {
    Heartbeat(agent, {held.lease});
    Advance(absl::Seconds(4));
  }
  EXPECT_TRUE(HasMessage(agent, v1::ServerMessage::kCancel));
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_CANCELLING);
  Tell(held, "finished { cause: CAUSE_KILLED }");
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_CANCELLED);
}

// --- Lists.

TEST_F(JobsTest, ListsAreNewestFirstPagedAndFiltered) {
  std::vector<std::string> jobs;
  for (int i = 0; i < 5; ++i) {
    jobs.push_back(Submit(i % 2 ? "labels { key: 'team' value: 'x' }" : ""));
  }
  v1::ListJobsRequest request;
  request.set_page_size(2);
  std::vector<std::string> seen;
  do {
    const auto page = core->ListJobs(kTenant, request);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const v1::Job& job : page->jobs()) seen.push_back(job.name());
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(seen, ElementsAre(jobs[4], jobs[3], jobs[2], jobs[1], jobs[0]));

  v1::ListJobsRequest filtered;
  (*filtered.mutable_labels())["team"] = "x";
  EXPECT_THAT(core->ListJobs(kTenant, filtered)->jobs(), SizeIs(2));
  ASSERT_TRUE(core->CancelJob(kTenant, jobs[1], now).ok());
  filtered.set_state(v1::JOB_STATE_CANCELLED);
  EXPECT_THAT(core->ListJobs(kTenant, filtered)->jobs(), SizeIs(1));
  EXPECT_THAT(core->ListJobs("other", {})->jobs(), IsEmpty());
}

TEST_F(JobsTest, BadPagesAreRefused) {
  v1::ListJobsRequest request;
  request.set_page_size(1001);
  EXPECT_TRUE(absl::IsInvalidArgument(core->ListJobs(kTenant, request).status()));
  request.set_page_size(0);
  request.set_page_token("yesterday");
  EXPECT_TRUE(absl::IsInvalidArgument(core->ListJobs(kTenant, request).status()));
}

TEST_F(JobsTest, QueuePositionsFollowTheOrderOfSubmission) {
  const std::string running = Submit();
  const std::string first = Submit();
  const std::string second = Submit();
  const ConnectionId agent = Connect();
  Prepare(agent);
  Prepare(agent);
  Prepare(agent);
  EXPECT_EQ(Get(running).queue_position(), 0);
  EXPECT_EQ(Get(first).state(), v1::JOB_STATE_QUEUED);
  EXPECT_EQ(Get(first).queue_position(), 1);
  EXPECT_EQ(Get(second).queue_position(), 2);
  EXPECT_THAT(Get(second).state_reason(), HasSubstr("waiting for a free device"));
  ASSERT_TRUE(core->CancelJob(kTenant, first, now).ok());
  EXPECT_EQ(Get(second).queue_position(), 1);
}

TEST_F(JobsTest, AFullQueueIsResourceExhausted) {
  options.limits.max_waiting_jobs = 2;
  Restart();
  Submit();
  const std::string second = Submit();
  EXPECT_TRUE(absl::IsResourceExhausted(core->CreateJob(kTenant, SpecOf(""), "", now).status()));
  ASSERT_TRUE(core->CancelJob(kTenant, second, now).ok());
  Submit();
}

TEST_F(JobsTest, DeletingTakesTheObjectsAlongAndNeedsAnEnd) {
  const std::string job = Submit();
  EXPECT_TRUE(absl::IsFailedPrecondition(core->DeleteJob(kTenant, job, now)));
  ASSERT_TRUE(core->CancelJob(kTenant, job, now).ok());
  ASSERT_TRUE(core->DeleteJob(kTenant, job, now).ok());
  Pump();
  const std::vector<DeleteObjects> deletions = Take<DeleteObjects>();
  ASSERT_THAT(deletions, SizeIs(1));
  EXPECT_EQ(deletions[0].prefix, absl::StrCat("tenants/default/", job, "/"));
  EXPECT_FALSE(core->IsLive(deletions[0].prefix));
  EXPECT_TRUE(absl::IsNotFound(core->GetJob(kTenant, job).status()));
  Restart();
  EXPECT_TRUE(absl::IsNotFound(core->GetJob(kTenant, job).status()));
}

TEST_F(JobsTest, OtherTenantsSeeNothing) {
  const std::string job = Submit();
  EXPECT_TRUE(absl::IsNotFound(core->GetJob("other", job).status()));
  EXPECT_TRUE(absl::IsNotFound(core->CancelJob("other", job, now).status()));
  EXPECT_TRUE(absl::IsNotFound(core->ListEvents("other", job, 0, 10).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(core->CreateJob("other", SpecOf(""), "", now).status()))
      << "its model is not theirs";
}

// --- Metrics.

TEST_F(JobsTest, PointsAreStoredInOrderAndResumedStepsReplaceTheirs) {
  const std::string job = Submit();
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held held = Accept(agent);
  for (int step = 1; step <= 3; ++step) {
    Tell(held, absl::StrCat("metric { step: ", step, " values { key: 'train_loss' value: ", step, " } }"));
  }
  EXPECT_THAT(Take<MetricsChanged>(), SizeIs(3));
  const auto points = core->ListPoints(kTenant, job, "train", 0, 10);
  ASSERT_TRUE(points.ok());
  ASSERT_THAT(*points, SizeIs(3));
  EXPECT_EQ((*points)[2].point.stage(), "train");
  Tell(held, "metric { step: 2 values { key: 'train_loss' value: 9 } }");
  const auto fresh = core->ListPoints(kTenant, job, "", points->back().cursor, 10);
  ASSERT_THAT(*fresh, SizeIs(1));
  EXPECT_EQ((*fresh)[0].point.values().at("train_loss"), 9);
  EXPECT_THAT(*core->ListPoints(kTenant, job, "train", 0, 10), SizeIs(3));
  Restart();
  EXPECT_THAT(*core->ListPoints(kTenant, job, "train", 0, 10), SizeIs(3));
}

TEST_F(JobsTest, LogsAreEventsAndLongOnesAreCut) {
  const std::string job = Submit();
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held held = Accept(agent);
  Tell(held, absl::StrCat("log { level: 'warning' message: '", std::string(100'000, 'x'), "' }"));
  const auto events = core->ListEvents(kTenant, job, 0, 1000);
  EXPECT_EQ(events->back().level(), "warning");
  EXPECT_LE(events->back().message().size(), kMaxReasonBytes);
}

}  // namespace
}  // namespace vernier::server
