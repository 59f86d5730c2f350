// Attempts, retries, and what a restart of either side leaves.
#include <gmock/gmock.h>

#include "tests/unit/server_core/core_fixture.h"

namespace vernier::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class LeasesTest : public CoreFixture {
 protected:
  // A job whose training has begun on agent "a".
  void Begin(const std::string& spec = "") {
    job = Submit(spec);
    agent = Connect();
    Prepare(agent);
    held = Accept(agent);
    Tell(held, "started {}");
  }
  static v1::AgentHello WithLease(v1::AgentHello hello, const Held& held, int64_t next_sequence) {
    v1::HeldLease& lease = *hello.add_leases();
    lease.set_lease(held.lease);
    lease.set_token(held.task.token());
    lease.set_committed(true);
    lease.set_next_sequence(next_sequence);
    return hello;
  }
  v1::Welcome WelcomeOf(ConnectionId connection) {
    const auto message = Next(connection, v1::ServerMessage::kWelcome);
    EXPECT_TRUE(message.has_value());
    return message ? message->welcome() : v1::Welcome();
  }
  int64_t Acked(ConnectionId connection) {
    int64_t acked = 0;
    while (const auto message = Next(connection, v1::ServerMessage::kAck)) acked = message->ack().sequence();
    return acked;
  }
  void KeepAlive(absl::Duration span) {
    for (const absl::Time end = now + span; now < end;) {
      Heartbeat(held.connection, {held.lease});
      Advance(absl::Seconds(5));
    }
  }

  std::string job;
  ConnectionId agent = 0;
  Held held;
};

// --- Two phases.

TEST_F(LeasesTest, ARefusedPlacementIsTriedAgainLater) {
  job = Submit();
  agent = Connect();
  Reply(agent, NextPrepare(agent).lease(), false, "disk nearly full");
  EXPECT_THAT(History(job), HasSubstr("not started: agent a refused: disk nearly full"));
  EXPECT_FALSE(HasMessage(agent, v1::ServerMessage::kPrepare));
  Advance(absl::Seconds(2));
  Accept(agent);
}

TEST_F(LeasesTest, AnAgentThatDoesNotAnswerLosesThePlacement) {
  job = Submit();
  agent = Connect();
  const v1::PrepareLease prepare = NextPrepare(agent);
  Advance(absl::Seconds(30));
  EXPECT_TRUE(HasMessage(agent, v1::ServerMessage::kCancel));
  EXPECT_THAT(History(job), HasSubstr("agent a did not answer within 30s"));
  Reply(agent, prepare.lease());
  EXPECT_FALSE(HasMessage(agent, v1::ServerMessage::kCommit)) << "too late";
}

TEST_F(LeasesTest, TokensRiseAcrossRestarts) {
  Begin();
  Restart();
  agent = Connect("a", "i2");  // the agent restarted too
  const Held again = Accept(agent);
  EXPECT_GT(again.task.token(), held.task.token());
  EXPECT_NE(again.task.incarnation(), held.task.incarnation());
}

// --- Events.

TEST_F(LeasesTest, EventsAreAcknowledgedOnceStoredAndDoublesDropped) {
  Begin();
  Acked(agent);
  v1::AgentMessage log = EventMessage(held, "log { level: 'info' message: 'once' }");
  Say(agent, log);
  EXPECT_EQ(Acked(agent), 2);
  Say(agent, log);
  EXPECT_EQ(Acked(agent), 2) << "its acknowledgement may have been lost";
  const std::string history = History(job);
  EXPECT_EQ(history.find("once"), history.rfind("once"));
}

TEST_F(LeasesTest, AGapClosesTheConnection) {
  Begin();
  ++held.sequence;
  Tell(held, "log { message: 'after a gap' }");
  const std::vector<CloseConnection> closed = Take<CloseConnection>();
  ASSERT_THAT(closed, SizeIs(1));
  EXPECT_TRUE(absl::IsUnavailable(closed[0].reason));
  EXPECT_THAT(std::string(closed[0].reason.message()), HasSubstr("event 3 came after event 1"));
}

TEST_F(LeasesTest, AnotherTokenIsRefused) {
  Begin();
  Held zombie = held;
  zombie.task.set_token(held.task.token() - 1);
  Checkpoint(zombie, 10);
  EXPECT_THAT(Stage(job).checkpoints(), IsEmpty());
  EXPECT_TRUE(HasMessage(agent, v1::ServerMessage::kCancel));
}

TEST_F(LeasesTest, AnotherAgentCannotSpeakForALease) {
  Begin();
  const ConnectionId other = Connect("b", "i");
  Held stolen = held;
  stolen.connection = other;
  Finish(stolen);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_RUNNING);
  EXPECT_TRUE(HasMessage(other, v1::ServerMessage::kCancel));
}

TEST_F(LeasesTest, ACheckpointThatItMayNotWriteIsRefusedAndSaid) {
  Begin();
  Tell(held, "checkpoint { step: 1 key: 'tenants/default/jobs/other/stages/train/checkpoints/1-1-1' }");
  EXPECT_THAT(Stage(job).checkpoints(), IsEmpty());
  EXPECT_THAT(History(job), HasSubstr("refused: checkpoint key"));
  EXPECT_EQ(Acked(agent), 2) << "it must not be sent for ever";
}

TEST_F(LeasesTest, ABatchIsOneTransaction) {
  Begin();
  const int64_t before = store.num_commits();
  std::vector<std::pair<ConnectionId, v1::AgentMessage>> batch;
  for (int i = 0; i < 50; ++i) batch.emplace_back(agent, EventMessage(held, "log { message: 'x' }"));
  core->AgentMessages(batch, now);
  Pump();
  EXPECT_EQ(store.num_commits(), before + 1);
  EXPECT_EQ(Acked(agent), 51);
}

TEST_F(LeasesTest, ProgressIsNotWritten) {
  Begin();
  const int64_t before = store.num_commits();
  Tell(held, "progress { step: 1 }");
  Heartbeat(agent, {held.lease});
  EXPECT_EQ(store.num_commits(), before);
  EXPECT_EQ(Acked(agent), 2);
}

// --- Losses and retries.

TEST_F(LeasesTest, HeartbeatsRenewAndSilenceLoses) {
  Begin();
  Checkpoint(held, 5);
  KeepAlive(absl::Minutes(2));
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_RUNNING);
  EXPECT_TRUE(HasMessage(agent, v1::ServerMessage::kRenew));
  Disconnect(agent);
  Advance(absl::Seconds(14));
  const ConnectionId other = Connect("b", "i");
  EXPECT_FALSE(HasMessage(other, v1::ServerMessage::kPrepare)) << "agent a may still run it";
  Advance(absl::Seconds(1));
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_STARTING) << "it lapsed: ttl and margin since the last heartbeat";
  EXPECT_THAT(History(job), HasSubstr("agent a was not heard for 20s; it starts again, from step 5"));
  const Held again = Accept(other);
  EXPECT_EQ(again.task.train().resume_key(), CheckpointKey(held, 5));
}

TEST_F(LeasesTest, AReconnectKeepsTheLease) {
  Begin();
  Disconnect(agent);
  Advance(absl::Seconds(10));
  held.connection = agent = Connect(WithLease(Hello("a", "i1"), held, 2));
  EXPECT_THAT(WelcomeOf(agent).keep(), ElementsAre(held.lease));
  Tell(held, "progress { step: 2 }");
  EXPECT_EQ(Stage(job).progress().step(), 2);
  EXPECT_EQ(Stage(job).attempts(), 1);
}

TEST_F(LeasesTest, ALapsedLeaseIsNotKept) {
  Begin();
  Disconnect(agent);
  Advance(absl::Minutes(1));
  agent = Connect(WithLease(Hello("a", "i1"), held, 2));
  EXPECT_THAT(WelcomeOf(agent).keep(), IsEmpty());
}

TEST_F(LeasesTest, ARestartedAgentHasLostItsRuns) {
  Begin();
  Checkpoint(held, 5);
  Disconnect(agent);
  agent = Connect("a", "i2");
  EXPECT_THAT(History(job), HasSubstr("agent a restarted; it starts again, from step 5"));
  Accept(agent);
}

// Its connection broke, and so did nothing else: a copy of its data dir is no reason to run its stage twice.
TEST_F(LeasesTest, AnAgentWithTheSameIdOnAnotherHostDoesNotEndItsRuns) {
  Begin();
  Disconnect(agent);
  v1::AgentHello copy = Hello("a", "i2");
  copy.set_host("another");
  Connect(copy);
  EXPECT_EQ(Stage(job).state(), v1::STAGE_STATE_RUNNING);
  agent = Connect(WithLease(Hello("a", "i1"), held, 2));
  EXPECT_THAT(WelcomeOf(agent).keep(), ElementsAre(held.lease));
  EXPECT_EQ(Stage(job).attempts(), 1);
}

TEST_F(LeasesTest, TheNewerOfTwoAgentsWithOneIdWins) {
  Begin();
  const ConnectionId newer = Connect("a", "i2");
  const std::vector<CloseConnection> closed = Take<CloseConnection>();
  ASSERT_THAT(closed, SizeIs(1));
  EXPECT_EQ(closed[0].connection, agent);
  EXPECT_TRUE(absl::IsFailedPrecondition(closed[0].reason));
  EXPECT_THAT(std::string(closed[0].reason.message()), HasSubstr("give each agent a data dir of its own"));
  EXPECT_FALSE(HasMessage(newer, v1::ServerMessage::kPrepare)) << "the old process may still run it";
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_RUNNING);
  // The old one does not get back in.
  const ConnectionId back = Connect("a", "i1");
  EXPECT_THAT(Take<CloseConnection>(), SizeIs(1));
  EXPECT_FALSE(HasMessage(back, v1::ServerMessage::kWelcome));
  Advance(absl::Seconds(20));
  Accept(newer);
}

TEST_F(LeasesTest, ADialledAgainConnectionReplacesTheOld) {
  Begin();
  const ConnectionId again = Connect(WithLease(Hello("a", "i1"), held, 2));
  const std::vector<CloseConnection> closed = Take<CloseConnection>();
  ASSERT_THAT(closed, SizeIs(1));
  EXPECT_EQ(closed[0].connection, agent);
  EXPECT_THAT(WelcomeOf(again).keep(), ElementsAre(held.lease));
  Disconnect(agent);  // the edge notices the old stream's end late
  EXPECT_TRUE(core->ListAgents()[0].connected());
}

TEST_F(LeasesTest, AKilledTrainerIsRetriedUntilItMakesNoProgress) {
  Begin();
  for (int attempt = 1; attempt <= 2; ++attempt) {
    Tell(held, "finished { cause: CAUSE_KILLED message: 'killed by signal 9, perhaps out of memory' }");
    EXPECT_EQ(Get(job).state(), v1::JOB_STATE_STARTING);
    held = Accept(agent);
  }
  Tell(held, "finished { cause: CAUSE_KILLED message: 'killed by signal 9' }");
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(Get(job).error().message(), HasSubstr("attempt 3 of 3 without a new checkpoint"));
}

TEST_F(LeasesTest, ProgressStartsTheCountAnew) {
  Begin();
  for (int attempt = 1; attempt <= 10; ++attempt) {
    Checkpoint(held, attempt);
    Tell(held, "finished { cause: CAUSE_KILLED message: 'killed' }");
    held = Accept(agent);
  }
  EXPECT_EQ(Stage(job).attempts(), 11);
}

TEST_F(LeasesTest, TheSameErrorTwiceAtOneStepFails) {
  Begin();
  Finish(held, "code: 8 message: 'out of memory: needs 9 GiB' step: 3");
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_QUEUED);
  EXPECT_THAT(Get(job).state_reason(), HasSubstr("retries in 10s"));
  Advance(absl::Seconds(10));
  held = Accept(agent);
  Finish(held, "code: 8 message: 'out of memory: needs 9 GiB' step: 3");
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(Get(job).error().message(), HasSubstr("twice at step 3"));
  EXPECT_EQ(Get(job).error().code(), "RESOURCE_EXHAUSTED");
}

TEST_F(LeasesTest, AFullDiskOfATaskIsWaitedForWithItsSentence) {
  Begin("max_attempts: 1");
  Checkpoint(held, 5);
  for (int attempt = 1; attempt <= 5; ++attempt) {
    Finish(held, "code: 8 stopped: true message: 'state.safetensors: no space left on the disk' step: 7");
    EXPECT_EQ(Get(job).state(), v1::JOB_STATE_QUEUED);
    EXPECT_THAT(Get(job).state_reason(),
                HasSubstr("state.safetensors: no space left on the disk; it waits for that and starts again, "
                          "from step 5; retries in 10s"));
    EXPECT_EQ(Stage(job).reason(), Get(job).state_reason());
    Advance(absl::Seconds(10));
    held = Accept(agent);
  }
  Publish(held);
  Finish(held);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_SUCCEEDED);
}

TEST_F(LeasesTest, AFullDiskWhileItWasAskedToPauseLeavesItPaused) {
  Begin();
  Checkpoint(held, 5);
  ASSERT_TRUE(core->PauseJob(kTenant, job, now).ok());
  Finish(held, "code: 8 stopped: true message: 'state.safetensors: no space left on the disk' step: 7");
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_PAUSED);
  EXPECT_THAT(History(job), HasSubstr("no space left on the disk"));
  ASSERT_TRUE(core->ResumeJob(kTenant, job, now).ok());
  Advance(absl::Seconds(10));
  held = Accept(agent);
  EXPECT_EQ(held.task.train().resume_key(), Stage(job).checkpoints(0).key());
}

TEST_F(LeasesTest, AnErrorAboutTheBaseModelNamesIt) {
  Begin();
  Finish(held, absl::StrCat("code: 9 message: 'base model: ", held.task.train().model_key(),
                            "/manifest.json: no such object; import the model again'"));
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(Get(job).error().message(), testing::StartsWith("model \"smollm2\": base model: "));
}

TEST_F(LeasesTest, ADamagedCheckpointIsLeftForTheOneBefore) {
  Begin();
  Checkpoint(held, 5);
  const std::string first = CheckpointKey(held, 5);
  Checkpoint(held, 6);
  const std::string second = CheckpointKey(held, 6);
  Tell(held, "finished { cause: CAUSE_KILLED message: 'killed' }");
  held = Accept(agent);
  EXPECT_EQ(held.task.train().resume_key(), second);
  Finish(held, "code: 15 message: 'state.safetensors: digest differs'");
  held = Accept(agent);
  EXPECT_EQ(held.task.train().resume_key(), first);
  Finish(held, "code: 15 message: 'state.json: digest differs'");
  held = Accept(agent);
  EXPECT_EQ(held.task.train().resume_key(), "") << "from the start";
}

TEST_F(LeasesTest, AnAgentThatIsShutDownHandsTheStageBack) {
  Begin();
  Checkpoint(held, 7);
  Finish(held, "stopped: true message: 'the agent is shutting down'");
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_QUEUED);
  EXPECT_THAT(History(job),
              HasSubstr("agent a stopped it (the agent is shutting down); it continues from step 7"));
  Advance(absl::Seconds(1));
  held = Accept(agent);
  EXPECT_EQ(held.task.train().resume_key().find("/checkpoints/7-") != std::string::npos, true);
}

TEST_F(LeasesTest, CheckpointsPinTheNumericClass) {
  Begin();
  Checkpoint(held, 5);
  Disconnect(agent);
  Advance(absl::Seconds(20));
  v1::AgentHello other = Hello("b", "i", 8);
  other.set_isa("avx512");
  const ConnectionId b = Connect(other);
  EXPECT_FALSE(HasMessage(b, v1::ServerMessage::kPrepare));
  EXPECT_THAT(Get(job).state_reason(), HasSubstr("numeric class cpu/avx2"));
  const ConnectionId c = Connect(Hello("c", "i", 8));
  const Held again = Accept(c);
  EXPECT_EQ(again.task.threads(), 4) << "as many as the checkpoint's";
}

TEST_F(LeasesTest, OldCheckpointsAreDeletedAfterTheCommit) {
  Begin();
  for (int step = 1; step <= 3; ++step) Checkpoint(held, step);
  const std::vector<DeleteObjects> deletions = Take<DeleteObjects>();
  ASSERT_THAT(deletions, SizeIs(1));
  EXPECT_EQ(deletions[0].prefix, absl::StrCat(CheckpointKey(held, 1), "/"));
  EXPECT_FALSE(core->IsLive(deletions[0].prefix));
  EXPECT_TRUE(core->IsLive(absl::StrCat(CheckpointKey(held, 3), "/state.json")));
}

TEST_F(LeasesTest, ALeaseThatAHeartbeatDoesNotListIsOver) {
  Begin();
  Checkpoint(held, 5);
  Heartbeat(agent);
  EXPECT_THAT(History(job), HasSubstr("agent a does not run it any more; it starts again, from step 5"));
  Accept(agent);
}

TEST_F(LeasesTest, AHeartbeatFromBeforeTheAnswerEndsNothing) {
  job = Submit();
  agent = Connect();
  const v1::PrepareLease prepare = NextPrepare(agent);
  Heartbeat(agent);  // it crossed the placement
  Reply(agent, prepare.lease());
  EXPECT_TRUE(HasMessage(agent, v1::ServerMessage::kCommit));
}

TEST_F(LeasesTest, WhatWasKilledOnCancellationEndsWithTheNextHeartbeat) {
  Begin();
  ASSERT_TRUE(core->CancelJob(kTenant, job, now).ok());
  KeepAlive(absl::Minutes(11));
  Heartbeat(agent);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_CANCELLED);
}

// --- vernierd restarts.

TEST_F(LeasesTest, ARestartOfVernierdKeepsARunThatComesBack) {
  Begin();
  Tell(held, "progress { step: 9 }");
  Restart();
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_RUNNING);
  held.connection = agent = Connect(WithLease(Hello("a", "i1"), held, 3));
  const v1::Welcome welcome = WelcomeOf(agent);
  EXPECT_THAT(welcome.keep(), ElementsAre(held.lease));
  EXPECT_EQ(welcome.epoch(), 2);
  EXPECT_EQ(welcome.lease_ttl_millis(), 15'000);
  Publish(held);
  Finish(held);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_SUCCEEDED);
  EXPECT_EQ(Stage(job).attempts(), 1);
}

TEST_F(LeasesTest, AfterARestartALeaseIsGivenAwayOnlyAfterTtlAndMargin) {
  Begin();
  Restart();
  const ConnectionId other = Connect("b", "i");
  Advance(absl::Seconds(19));
  EXPECT_FALSE(HasMessage(other, v1::ServerMessage::kPrepare));
  Advance(absl::Seconds(1));
  Accept(other);
}

TEST_F(LeasesTest, ARestartBetweenThePhasesStartsThemAnew) {
  job = Submit();
  agent = Connect();
  const v1::PrepareLease prepare = NextPrepare(agent);
  Restart();
  v1::AgentHello hello = Hello("a", "i1");
  hello.add_leases()->set_lease(prepare.lease());
  hello.mutable_leases(0)->set_token(prepare.task().token());
  agent = Connect(hello);
  EXPECT_THAT(WelcomeOf(agent).keep(), IsEmpty());
  const Held again = Accept(agent);
  EXPECT_GT(again.task.token(), prepare.task().token());
}

TEST_F(LeasesTest, ACommitThatWasLostOnTheWayIsSentAgain) {
  job = Submit();
  agent = Connect();
  const v1::PrepareLease prepare = NextPrepare(agent);
  Reply(agent, prepare.lease());
  Disconnect(agent);
  v1::AgentHello hello = Hello("a", "i1");
  hello.add_leases()->set_lease(prepare.lease());
  hello.mutable_leases(0)->set_token(prepare.task().token());
  hello.mutable_leases(0)->set_next_sequence(1);
  agent = Connect(hello);
  EXPECT_THAT(WelcomeOf(agent).keep(), ElementsAre(prepare.lease()));
  EXPECT_TRUE(HasMessage(agent, v1::ServerMessage::kCommit));
}

TEST_F(LeasesTest, AStopThatWasLostOnTheWayIsSentAgain) {
  Begin();
  Disconnect(agent);
  ASSERT_TRUE(core->PauseJob(kTenant, job, now).ok());
  agent = Connect(WithLease(Hello("a", "i1"), held, 2));
  EXPECT_TRUE(HasMessage(agent, v1::ServerMessage::kStop));
}

// --- The store fails.

TEST_F(LeasesTest, AFullDiskAcknowledgesNothingAndLosesNothing) {
  Begin();
  Acked(agent);
  store.FailWith(absl::ResourceExhaustedError("jobs.db: disk full"));
  Held sent = held;
  Checkpoint(sent, 5);
  EXPECT_EQ(Acked(agent), 0);
  const std::vector<CloseConnection> closed = Take<CloseConnection>();
  ASSERT_THAT(closed, SizeIs(1));
  EXPECT_TRUE(absl::IsUnavailable(closed[0].reason));
  EXPECT_TRUE(absl::IsResourceExhausted(core->store_status()));
  EXPECT_TRUE(absl::IsResourceExhausted(core->CreateJob(kTenant, SpecOf(""), "", now).status()));
  EXPECT_THAT(Stage(job).checkpoints(), IsEmpty());
  EXPECT_THAT(Get(job).state_reason(),
              HasSubstr("nothing new can be recorded, so this may be out of date: jobs.db: disk full"));

  store.FailWith(absl::OkStatus());
  held.connection = agent = Connect(WithLease(Hello("a", "i1"), held, 2));
  EXPECT_THAT(WelcomeOf(agent).keep(), ElementsAre(held.lease));
  Checkpoint(held, 5);
  EXPECT_THAT(Stage(job).checkpoints(), SizeIs(1));
  EXPECT_TRUE(core->store_status().ok());
  EXPECT_THAT(Get(job).state_reason(), testing::Not(HasSubstr("recorded")));
}

TEST_F(LeasesTest, WhatWasDueWhileTheStoreFailedIsDoneWhenItWorks) {
  Begin();
  Disconnect(agent);
  store.FailWith(absl::UnavailableError("jobs.db: busy"));
  Advance(absl::Seconds(20));
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_RUNNING) << "nothing changed";
  EXPECT_LE(core->NextWakeup(), now + absl::Seconds(1));
  store.FailWith(absl::OkStatus());
  Advance(absl::Seconds(1));
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_QUEUED);
}

}  // namespace
}  // namespace vernier::server
