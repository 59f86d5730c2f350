#include "worker/trainer/agent_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "tests/testing/temp_folder.h"
#include "tests/unit/worker_trainer/fake_agent.h"

namespace vernier::trainer {
namespace {

using testing::HasSubstr;

v1::TaskEvent Metric(int64_t step) {
  v1::TaskEvent event;
  event.mutable_metric()->set_step(step);
  return event;
}

class AgentLinkTest : public testing::Test {
 protected:
  AgentLink::Options Options() const {
    AgentLink::Options options;
    options.socket = agent.socket();
    options.lease = kLease;
    return options;
  }

  TempFolder folder;
  FakeAgent agent{folder.File("a.sock")};
};

TEST_F(AgentLinkTest, GetsItsTaskAndDeliversEverythingInOrder) {
  v1::Task task;
  task.set_job("jobs/j1");
  agent.SetTask(task);
  AgentLink::Options options = Options();
  options.max_waiting = 4;  // the reporter has to wait for the agent again and again
  const auto link = AgentLink::Attach(options);
  ASSERT_TRUE(link.ok()) << link.status();
  EXPECT_EQ((*link)->task().job(), "jobs/j1");
  constexpr int64_t kEvents = 5000;
  for (int64_t step = 0; step < kEvents; ++step) (*link)->Report(Metric(step));
  v1::TaskFinished finished;
  finished.set_step(kEvents);
  const absl::Status told = (*link)->Finish(finished, absl::Now() + absl::Minutes(1));
  ASSERT_TRUE(told.ok()) << told;
  const std::vector<v1::TaskEvent> events = agent.events();
  ASSERT_EQ(events.size(), static_cast<size_t>(kEvents) + 1);
  for (int64_t step = 0; step < kEvents; ++step) ASSERT_EQ(events[step].metric().step(), step);
  EXPECT_EQ(events.back().finished().step(), kEvents);
}

TEST_F(AgentLinkTest, AnUnknownLeaseIsTheAgentsError) {
  AgentLink::Options options = Options();
  options.lease = "another";
  const auto link = AgentLink::Attach(options);
  EXPECT_EQ(link.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(link.status().message()), HasSubstr("no task waits under this lease"));
}

TEST_F(AgentLinkTest, ASocketWhereNobodyAnswersIsUnavailableInTime) {
  AgentLink::Options options = Options();
  options.socket = folder.File("nobody.sock");
  options.dial_timeout = absl::Milliseconds(200);
  const auto link = AgentLink::Attach(options);
  EXPECT_EQ(link.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(link.status().message()), HasSubstr("nobody.sock"));
}

TEST_F(AgentLinkTest, ABrokenStreamIsToldAndBlocksNobody) {
  std::promise<std::string> broken;
  AgentLink::Options options = Options();
  options.max_waiting = 1;
  options.on_broken = [&](const std::string& what) { broken.set_value(what); };
  const auto link = AgentLink::Attach(options);
  ASSERT_TRUE(link.ok()) << link.status();
  agent.Vanish();
  EXPECT_THAT(broken.get_future().get(), HasSubstr("closed the stream"));
  for (int64_t step = 0; step < 10; ++step) (*link)->Report(Metric(step));
  EXPECT_FALSE((*link)->Finish({}, absl::Now() + absl::Seconds(10)).ok());
}

TEST_F(AgentLinkTest, AStopCommandIsSeen) {
  agent.StopAtStep(1);
  const auto link = AgentLink::Attach(Options());
  ASSERT_TRUE(link.ok()) << link.status();
  EXPECT_FALSE((*link)->stop_requested());
  (*link)->Report(Metric(1));
  // The agent answers the event with the stop before it closes the stream.
  ASSERT_TRUE((*link)->Finish({}, absl::Now() + absl::Seconds(30)).ok());
  EXPECT_TRUE((*link)->stop_requested());
}

v1::GenerateMore Turn(int64_t turn, bool interrupt) {
  v1::GenerateMore more;
  more.set_turn(turn);
  more.set_interrupt(interrupt);
  return more;
}

TEST_F(AgentLinkTest, FurtherRequestsComeInOrderAndInterruptsAtOnce) {
  agent.TellMore({Turn(2, false), Turn(3, true), Turn(2, true), Turn(3, false)});
  const auto link = AgentLink::Attach(Options());
  ASSERT_TRUE(link.ok()) << link.status();
  EXPECT_EQ((*link)->AwaitMore()->turn(), 2);
  EXPECT_EQ((*link)->AwaitMore()->turn(), 3);
  EXPECT_EQ((*link)->interrupted_turn(), 3) << "an older interrupt does not take it back";
}

TEST_F(AgentLinkTest, AStopEndsTheWaitForARequest) {
  const auto link = AgentLink::Attach(Options());
  ASSERT_TRUE(link.ok()) << link.status();
  auto waits = std::async(std::launch::async, [&] { return (*link)->AwaitMore(); });
  (*link)->RequestStop("the test says so");
  EXPECT_FALSE(waits.get().has_value());
}

TEST_F(AgentLinkTest, ABrokenStreamEndsTheWaitForARequest) {
  const auto link = AgentLink::Attach(Options());
  ASSERT_TRUE(link.ok()) << link.status();
  auto waits = std::async(std::launch::async, [&] { return (*link)->AwaitMore(); });
  agent.Vanish();
  EXPECT_FALSE(waits.get().has_value());
}

}  // namespace
}  // namespace vernier::trainer
