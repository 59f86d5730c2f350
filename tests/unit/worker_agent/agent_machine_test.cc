#include "worker/agent/agent_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"

namespace vernier::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class AgentMachineTest : public testing::Test {
 protected:
  static AgentMachine::Options MakeOptions() {
    AgentMachine::Options options;
    options.hello.set_agent_id("agent-1");
    options.hello.add_devices()->set_id("cpu");
    options.max_leases = 3;
    return options;
  }

  // What the machine said since the last call, a word each: easy to compare.
  std::vector<std::string> Effects() {
    std::vector<std::string> words;
    for (const Effect& effect : machine_.TakeEffects()) {
      if (const auto* send = std::get_if<SendToServer>(&effect)) {
        const v1::AgentMessage& message = send->message;
        switch (message.message_case()) {
          case v1::AgentMessage::kHello:
            hello_ = message.hello();
            words.push_back("hello");
            break;
          case v1::AgentMessage::kHeartbeat:
            words.push_back("heartbeat");
            break;
          case v1::AgentMessage::kPrepareReply:
            reply_ = message.prepare_reply();
            words.push_back(absl::StrCat(reply_.ok() ? "yes " : "no ", reply_.lease()));
            break;
          case v1::AgentMessage::kEvent:
            event_ = message.event();
            words.push_back(absl::StrCat("event ", event_.event().sequence()));
            break;
          default:
            words.push_back("?");
        }
      } else if (const auto* start = std::get_if<StartTask>(&effect)) {
        words.push_back(absl::StrCat("start ", start->lease));
      } else if (const auto* stop = std::get_if<StopTask>(&effect)) {
        words.push_back(absl::StrCat("stop ", stop->lease));
      } else if (const auto* kill = std::get_if<KillTask>(&effect)) {
        words.push_back(absl::StrCat("kill ", kill->lease));
      } else if (const auto* tell = std::get_if<TellTask>(&effect)) {
        words.push_back(absl::StrCat("tell ", tell->lease, " turn ", tell->more.turn()));
      } else {
        words.push_back("reconnect");
      }
    }
    return words;
  }

  void Connect(std::vector<std::string> keep = {}) {
    machine_.OnConnected(now_);
    v1::ServerMessage message;
    message.mutable_welcome()->set_lease_ttl_millis(10'000);
    message.mutable_welcome()->set_heartbeat_millis(2'000);
    for (const std::string& id : keep) message.mutable_welcome()->add_keep(id);
    machine_.OnServerMessage(message, now_);
  }

  void Prepare(const std::string& lease, const std::string& device = "cpu") {
    v1::ServerMessage message;
    message.mutable_prepare()->set_lease(lease);
    message.mutable_prepare()->set_device(device);
    message.mutable_prepare()->mutable_task()->set_token(7);
    message.mutable_prepare()->mutable_task()->mutable_train();
    machine_.OnServerMessage(message, now_);
  }
  void Commit(const std::string& lease) {
    v1::ServerMessage message;
    message.mutable_commit()->set_lease(lease);
    machine_.OnServerMessage(message, now_);
  }
  void Ack(const std::string& lease, int64_t sequence) {
    v1::ServerMessage message;
    message.mutable_ack()->set_lease(lease);
    message.mutable_ack()->set_sequence(sequence);
    machine_.OnServerMessage(message, now_);
  }
  void Renew(const std::string& lease) {
    v1::ServerMessage message;
    message.mutable_renew()->add_leases(lease);
    machine_.OnServerMessage(message, now_);
  }
  void Run(const std::string& lease) {
    Prepare(lease);
    Commit(lease);
    Effects();
  }
  static v1::TaskEvent Metric(int64_t step) {
    v1::TaskEvent event;
    event.mutable_metric()->set_step(step);
    return event;
  }
  static v1::TaskEvent ProgressAt(int64_t step) {
    v1::TaskEvent event;
    event.mutable_progress()->set_step(step);
    return event;
  }
  static v1::TaskEvent Finished() {
    v1::TaskEvent event;
    event.mutable_finished();
    return event;
  }
  void Pass(absl::Duration time) {
    now_ += time;
    machine_.OnTick(now_);
  }

  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
  AgentMachine machine_{MakeOptions()};
  v1::AgentHello hello_;
  v1::PrepareReply reply_;
  v1::LeasedEvent event_;
};

TEST_F(AgentMachineTest, StartsATaskOnlyAfterBothPhases) {
  Connect();
  EXPECT_THAT(Effects(), ElementsAre("hello"));
  Prepare("a");
  EXPECT_THAT(Effects(), ElementsAre("yes a"));
  Commit("a");
  EXPECT_THAT(Effects(), ElementsAre("start a"));
  Commit("a");  // a repeated message starts nothing twice
  EXPECT_THAT(Effects(), IsEmpty());
}

TEST_F(AgentMachineTest, RefusesWithAReason) {
  Connect();
  Effects();
  Prepare("a", "cuda:9");
  EXPECT_THAT(Effects(), ElementsAre("no a"));
  EXPECT_THAT(reply_.reason(), HasSubstr("cuda:9"));
  for (const char* lease : {"b", "c", "d", "e"}) Prepare(lease);
  EXPECT_THAT(Effects(), ElementsAre("yes b", "yes c", "yes d", "no e"));
  machine_.OnShutdown(now_);
  Prepare("f");
  Effects();
  EXPECT_THAT(reply_.reason(), HasSubstr("shutting down"));
}

TEST_F(AgentMachineTest, PreparedLeaseIsForgottenWhenCancelledAndStartsNothing) {
  Connect();
  Prepare("a");
  v1::ServerMessage cancel;
  cancel.mutable_cancel()->set_lease("a");
  machine_.OnServerMessage(cancel, now_);
  Effects();
  Commit("a");
  EXPECT_THAT(Effects(), IsEmpty());
  EXPECT_EQ(machine_.num_leases(), 0u);
}

TEST_F(AgentMachineTest, NumbersEventsAndSendsUnstoredOnesAgain) {
  Connect();
  Run("a");
  machine_.OnTaskEvent("a", Metric(1), now_);
  machine_.OnTaskEvent("a", Metric(2), now_);
  machine_.OnTaskEvent("a", Metric(3), now_);
  EXPECT_THAT(Effects(), ElementsAre("event 1", "event 2", "event 3"));
  EXPECT_EQ(event_.token(), 7u);
  Ack("a", 1);
  machine_.OnDisconnected(now_);
  machine_.OnTaskEvent("a", Metric(4), now_);
  EXPECT_THAT(Effects(), IsEmpty());
  Connect({"a"});
  EXPECT_THAT(Effects(), ElementsAre("hello", "event 2", "event 3", "event 4"));
  ASSERT_EQ(hello_.leases_size(), 1);
  EXPECT_TRUE(hello_.leases(0).committed());
  EXPECT_EQ(hello_.leases(0).next_sequence(), 2);
}

TEST_F(AgentMachineTest, ProgressNotSentYetIsOverwrittenByNewer) {
  Connect();
  Run("a");
  machine_.OnDisconnected(now_);
  for (int step = 0; step < 1000; ++step) machine_.OnTaskEvent("a", ProgressAt(step), now_);
  machine_.OnTaskEvent("a", Metric(5), now_);
  Connect({"a"});
  EXPECT_THAT(Effects(), ElementsAre("hello", "event 1", "event 2"));
}

// The server may have stored it: its number must not come to mean another event.
TEST_F(AgentMachineTest, ProgressThatWasSentIsNotOverwritten) {
  Connect();
  Run("a");
  machine_.OnTaskEvent("a", ProgressAt(1), now_);
  machine_.OnTaskEvent("a", ProgressAt(2), now_);
  EXPECT_THAT(Effects(), ElementsAre("event 1", "event 2"));
  machine_.OnDisconnected(now_);
  machine_.OnTaskEvent("a", ProgressAt(3), now_);
  machine_.OnTaskEvent("a", ProgressAt(4), now_);
  Connect({"a"});
  EXPECT_THAT(Effects(), ElementsAre("hello", "event 1", "event 2", "event 3"));
  EXPECT_EQ(event_.event().progress().step(), 4);
}

// An edge that was held up takes the effects of both streams at once.
TEST_F(AgentMachineTest, WhatWasMeantForABrokenStreamDoesNotOpenTheNextOne) {
  Connect();
  Run("a");
  machine_.OnTaskEvent("a", Metric(1), now_);
  Prepare("b");
  machine_.OnDisconnected(now_);
  machine_.OnConnected(now_);
  EXPECT_THAT(Effects(), ElementsAre("hello"));
}

TEST_F(AgentMachineTest, LeaseThatTheServerGaveUpIsKilledAndItsEventsAreDropped) {
  Connect();
  Run("a");
  machine_.OnDisconnected(now_);
  machine_.OnTaskEvent("a", Metric(1), now_);
  Connect();
  EXPECT_THAT(Effects(), ElementsAre("hello", "kill a"));
  machine_.OnTaskExit("a", {"gone"}, now_);
  EXPECT_THAT(Effects(), IsEmpty());
  EXPECT_EQ(machine_.num_leases(), 0u);
}

TEST_F(AgentMachineTest, OutageShorterThanTheTtlStopsNothing) {
  Connect();
  Run("a");
  machine_.OnDisconnected(now_);
  Pass(absl::Seconds(9));
  EXPECT_THAT(Effects(), IsEmpty());
  Connect({"a"});
  EXPECT_THAT(Effects(), ElementsAre("hello"));
  Pass(absl::Seconds(1));  // past the first expiry: the welcome renewed it
  EXPECT_THAT(Effects(), IsEmpty());
}

TEST_F(AgentMachineTest, UnrenewedLeaseIsStoppedThenKilledBeforeTheServersMargin) {
  Connect();
  Run("a");
  machine_.OnDisconnected(now_);
  EXPECT_EQ(machine_.NextWakeup(), now_ + absl::Seconds(10));
  Pass(absl::Seconds(10));
  EXPECT_THAT(Effects(), ElementsAre("stop a"));
  EXPECT_EQ(machine_.NextWakeup(), now_ + absl::Seconds(2));
  Pass(absl::Seconds(2));
  EXPECT_THAT(Effects(), ElementsAre("kill a"));
  machine_.OnTaskExit("a", {"killed"}, now_);
  EXPECT_EQ(machine_.NextWakeup(), absl::InfiniteFuture());
}

TEST_F(AgentMachineTest, RenewalCountsFromTheHeartbeatItAnswers) {
  Connect();
  Run("a");
  Pass(absl::Seconds(2));
  EXPECT_THAT(Effects(), ElementsAre("heartbeat"));  // sent at 2 s
  now_ += absl::Seconds(5);
  Renew("a");  // heard at 7 s: valid until 12 s, not 17 s
  Pass(absl::Milliseconds(4'900));
  for (const std::string& word : Effects()) EXPECT_EQ(word, "heartbeat");
  Pass(absl::Milliseconds(200));
  EXPECT_THAT(Effects(), testing::Contains("stop a"));
}

TEST_F(AgentMachineTest, SilentStreamIsDroppedAfterTheTtl) {
  Connect();
  Effects();
  Pass(absl::Seconds(10));
  EXPECT_THAT(Effects(), testing::Contains("reconnect"));
}

TEST_F(AgentMachineTest, StreamOnWhichHeartbeatsAreNotAnsweredIsDroppedThoughTheServerSpeaks) {
  Connect();
  Run("a");
  for (int i = 0; i < 5; ++i) {
    Pass(absl::Seconds(2));
    EXPECT_THAT(Effects(), ElementsAre("heartbeat")) << "at " << 2 * (i + 1) << " s";
    Ack("a", 0);
    if (i == 1) Renew("a");  // for the first of the two sent by then
  }
  Pass(absl::Seconds(2));  // at 12 s: the second was sent at 4 s, its answer would renew until 14 s
  EXPECT_THAT(Effects(), testing::Contains("reconnect"));
}

TEST_F(AgentMachineTest, NothingCountsThatComesOverAStreamThatWasDropped) {
  Connect();
  Run("a");
  Pass(absl::Seconds(10));
  EXPECT_THAT(Effects(), testing::Contains("reconnect"));
  Renew("a");
  Prepare("b");
  machine_.OnTaskEvent("a", Metric(1), now_);
  EXPECT_THAT(Effects(), IsEmpty());
  machine_.OnDisconnected(now_);
  Connect({"a"});
  EXPECT_THAT(Effects(), ElementsAre("hello", "event 1"));
}

TEST_F(AgentMachineTest, FurtherQuestionsGoToTheTaskThatRuns) {
  Connect();
  Run("a");
  Effects();
  v1::ServerMessage message;
  message.mutable_generate_more()->set_lease("a");
  message.mutable_generate_more()->set_turn(2);
  machine_.OnServerMessage(message, now_);
  EXPECT_THAT(Effects(), ElementsAre("tell a turn 2"));
  message.mutable_generate_more()->set_lease("b");
  machine_.OnServerMessage(message, now_);
  EXPECT_THAT(Effects(), IsEmpty()) << "nothing of this lease runs";
}

TEST_F(AgentMachineTest, TaskThatDiesWithoutAWordIsReportedAsKilled) {
  Connect();
  Run("a");
  machine_.OnTaskExit("a", {"the trainer was killed by signal 9"}, now_);
  EXPECT_THAT(Effects(), ElementsAre("event 1"));
  EXPECT_EQ(event_.event().finished().cause(), v1::TaskFinished::CAUSE_KILLED);
  EXPECT_THAT(event_.event().finished().message(), HasSubstr("signal 9"));
  EXPECT_EQ(machine_.num_leases(), 1u);  // until the server has stored it
  Ack("a", 1);
  EXPECT_EQ(machine_.num_leases(), 0u);
}

TEST_F(AgentMachineTest, TaskThatFinishedKeepsItsOwnWord) {
  Connect();
  Run("a");
  machine_.OnTaskEvent("a", Finished(), now_);
  machine_.OnTaskEvent("a", Metric(9), now_);  // after the last event: ignored
  machine_.OnTaskExit("a", {"exited with code 1"}, now_);
  EXPECT_THAT(Effects(), ElementsAre("event 1"));
  Ack("a", 1);
  EXPECT_EQ(machine_.num_leases(), 0u);
}

TEST_F(AgentMachineTest, ShutdownStopsTasksAndDrainsWhenTheServerHasStoredTheirEnd) {
  Connect();
  Run("a");
  Prepare("b");
  Effects();
  EXPECT_FALSE(machine_.drained());
  machine_.OnShutdown(now_);
  machine_.OnShutdown(now_);
  EXPECT_THAT(Effects(), ElementsAre("stop a"));
  machine_.OnTaskEvent("a", Finished(), now_);
  machine_.OnTaskExit("a", {"left"}, now_);
  EXPECT_FALSE(machine_.drained());
  Ack("a", 1);
  EXPECT_TRUE(machine_.drained());
}

TEST_F(AgentMachineTest, ShutdownDoesNotWaitForAServerThatIsGone) {
  Connect();
  Run("a");
  machine_.OnShutdown(now_);
  machine_.OnDisconnected(now_);
  machine_.OnTaskExit("a", {"left"}, now_);
  EXPECT_TRUE(machine_.drained());
}

TEST_F(AgentMachineTest, FloodOfUnstoredEventsKillsTheTask) {
  AgentMachine::Options options = MakeOptions();
  options.max_unstored_events = 3;
  machine_ = AgentMachine(options);
  Connect();
  Run("a");
  for (int step = 0; step < 4; ++step) machine_.OnTaskEvent("a", Metric(step), now_);
  EXPECT_THAT(Effects(), testing::Contains("kill a"));
}

}  // namespace
}  // namespace vernier::agent
