// Real agents against a real vernierd.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "absl/algorithm/container.h"
#include "absl/time/clock.h"
#include "client/client.h"
#include "common/file.h"
#include "tests/testing/process.h"
#include "tests/testing/service.h"
#include "tests/testing/temp_folder.h"

namespace vernier {
namespace {

// A copied data dir makes two agents of one id. The newer one takes the id over, the older one leaves instead
// of taking it back for ever; `vernier up` then starts its own again, which is the newer one now.
TEST(AgentsTest, AgentWhoseIdAnotherTookLeavesWithASentence) {
  const TempFolder folder;
  Service::Options options;
  options.data_dir = folder.File("data");
  auto service = Service::Start(options);
  ASSERT_TRUE(service.ok()) << service.status();
  const auto id = ReadFile(options.data_dir + "/agent/agent_id");
  ASSERT_TRUE(id.ok()) << id.status();
  folder.Write("copy/agent_id", *id);
  const auto endpoint = client::FindEndpoint(options.data_dir);
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  auto copy = TestProcess::Start(
      {std::string(VERNIER_BIN_DIR) + "/vernier-agent", "--server", endpoint->address, "--token-file",
       options.data_dir + "/token", "--data-dir", folder.File("copy"), "--threads", "1"},
      folder.File("copy.log"));
  ASSERT_TRUE(copy.ok()) << copy.status();
  const auto code = (*copy)->AwaitExit();
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 7);
  EXPECT_THAT((*copy)->Output(), testing::HasSubstr("refused by the server"));
  EXPECT_TRUE((*service)->Stop().ok());
}

// `vernier down` and a restart wait for it.
TEST(AgentsTest, AnIdleAgentLeavesAtOnceOnSigterm) {
  const TempFolder folder;
  auto service = Service::Start({.data_dir = folder.File("data")});
  ASSERT_TRUE(service.ok()) << service.status();
  const auto endpoint = client::FindEndpoint(folder.File("data"));
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  const auto connected = [&](int64_t wanted) {
    return [&service, wanted] {
      const auto agents =
          (*service)->client().Call(&v1::AdminService::Stub::ListAgents, v1::ListAgentsRequest());
      return agents.ok() && wanted == absl::c_count_if(agents->agents(), [](const v1::Agent& agent) {
                              return agent.connected();
                            });
    };
  };
  // It takes some 20 ms; its HTTP server alone would take 2 s. A machine that is busy may hold one of them
  // up.
  absl::Duration best = absl::InfiniteDuration();
  for (int i = 0; i < 3 && best > absl::Seconds(1); ++i) {
    ASSERT_TRUE(AwaitCondition("the service's own agent to be alone", connected(1)).ok());
    auto agent = TestProcess::Start(
        {std::string(VERNIER_BIN_DIR) + "/vernier-agent", "--server", endpoint->address, "--token-file",
         folder.File("data/token"), "--data-dir", folder.File("second"), "--threads", "1"},
        folder.File("second.log"));
    ASSERT_TRUE(agent.ok()) << agent.status();
    ASSERT_TRUE(AwaitCondition("both agents to be there", connected(2)).ok()) << (*agent)->Output();
    const absl::Time start = absl::Now();
    (*agent)->Signal(SIGTERM);
    const auto code = (*agent)->AwaitExit();
    best = std::min(best, absl::Now() - start);
    EXPECT_EQ(code.value_or(-1), 0) << (*agent)->Output();
  }
  EXPECT_LT(best, absl::Seconds(1.8));
  EXPECT_TRUE((*service)->Stop().ok());
}

}  // namespace
}  // namespace vernier
