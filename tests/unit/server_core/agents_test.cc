#include <gmock/gmock.h>

#include "tests/unit/server_core/core_fixture.h"

namespace vernier::server {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class AgentsTest : public CoreFixture {};

TEST_F(AgentsTest, ListShowsWhoIsThereAndWhatTheyHold) {
  Submit();
  const ConnectionId a = Connect("a", "i");
  Accept(a);
  const ConnectionId b = Connect("b", "i");
  Disconnect(b);
  const std::vector<v1::Agent> agents = core->ListAgents();
  ASSERT_THAT(agents, SizeIs(2));
  EXPECT_EQ(agents[0].id(), "a");
  EXPECT_TRUE(agents[0].connected());
  ASSERT_THAT(agents[0].leases(), SizeIs(1));
  EXPECT_THAT(agents[0].leases(0), HasSubstr(" train"));
  EXPECT_EQ(agents[0].devices(0).threads(), 4);
  EXPECT_FALSE(agents[1].connected());
  EXPECT_EQ(core->stats().agents_connected, 1);
  EXPECT_EQ(core->stats().leases, 1);
}

struct HelloCase {
  std::string name;
  void (*spoil)(v1::AgentHello&);
};
class BadHelloTest : public CoreFixture, public testing::WithParamInterface<HelloCase> {};

TEST_P(BadHelloTest, IsRefusedWithAReason) {
  v1::AgentHello hello = Hello("a", "i");
  GetParam().spoil(hello);
  Connect(hello);
  const std::vector<CloseConnection> closed = Take<CloseConnection>();
  ASSERT_THAT(closed, SizeIs(1));
  EXPECT_TRUE(absl::IsInvalidArgument(closed[0].reason)) << closed[0].reason;
  EXPECT_THAT(core->ListAgents(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadHelloTest,
    testing::ValuesIn<HelloCase>({
        {"NoId", [](v1::AgentHello& hello) { hello.clear_agent_id(); }},
        {"IdThatIsNoKey", [](v1::AgentHello& hello) { hello.set_agent_id("../x"); }},
        {"NoIncarnation", [](v1::AgentHello& hello) { hello.clear_incarnation(); }},
        {"NoDevice", [](v1::AgentHello& hello) { hello.clear_devices(); }},
        {"NoThreads", [](v1::AgentHello& hello) { hello.mutable_devices(0)->set_threads(0); }},
        {"DeviceTwice", [](v1::AgentHello& hello) { *hello.add_devices() = hello.devices(0); }},
        {"TooManyLeases",
         [](v1::AgentHello& hello) {
           for (int i = 0; i < 5000; ++i) hello.add_leases();
         }},
        {"LongHost", [](v1::AgentHello& hello) { hello.set_host(std::string(1000, 'x')); }},
    }),
    [](const auto& info) { return info.param.name; });

TEST_F(AgentsTest, ASecondHelloOrNothingAtAllClosesTheConnection) {
  const ConnectionId agent = Connect();
  v1::AgentMessage message;
  *message.mutable_hello() = Hello("a", "i1");
  Say(agent, message);
  EXPECT_THAT(Take<CloseConnection>(), SizeIs(1));
  EXPECT_EQ(core->stats().agents_connected, 0);
}

TEST_F(AgentsTest, MessagesOfUnknownConnectionsAreDropped) {
  Heartbeat(99, {"lease-1"});
  EXPECT_THAT(effects, IsEmpty());
}

TEST_F(AgentsTest, AHeartbeatForALeaseThatIsNotHeldCancelsIt) {
  const ConnectionId agent = Connect();
  Heartbeat(agent, {"lease-77"});
  const auto message = Next(agent, v1::ServerMessage::kCancel);
  ASSERT_TRUE(message.has_value());
  EXPECT_EQ(message->cancel().lease(), "lease-77");
}

TEST_F(AgentsTest, TheTableIsBoundedAndForgetsThoseAwayLongest) {
  options.limits.max_agents = 2;
  Restart();
  const ConnectionId a = Connect("a", "i");
  Connect("b", "i");
  Connect("c", "i");
  ASSERT_THAT(Take<CloseConnection>(), SizeIs(1));
  Disconnect(a);
  Connect("c", "i");
  EXPECT_THAT(Take<CloseConnection>(), IsEmpty());
  EXPECT_THAT(core->ListAgents(), SizeIs(2));
}

TEST_F(AgentsTest, EachAgentRunsOneDeviceTaskAtATime) {
  for (int i = 0; i < 3; ++i) Submit();
  const ConnectionId a = Connect("a", "i");
  for (int i = 0; i < 3; ++i) Prepare(a);
  const ConnectionId b = Connect("b", "i");
  Held on_a = Accept(a);
  Held on_b = Accept(b);
  EXPECT_NE(on_a.task.job(), on_b.task.job());
  EXPECT_FALSE(HasMessage(a, v1::ServerMessage::kPrepare));
  EXPECT_FALSE(HasMessage(b, v1::ServerMessage::kPrepare));
}

}  // namespace
}  // namespace vernier::server
