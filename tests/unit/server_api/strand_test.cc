#include "server/strand.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "server/jobs/memory_job_store.h"

namespace vernier::server {
namespace {

v1::AgentHello Hello() {
  v1::AgentHello hello;
  hello.set_agent_id("a");
  hello.set_incarnation("1");
  hello.set_host("h");
  v1::Device& device = *hello.add_devices();
  device.set_id("cpu");
  device.set_kind("cpu");
  device.set_threads(1);
  return hello;
}

class StrandTest : public testing::Test {
 protected:
  void Start(Strand::Options options = {}) {
    if (!options.execute) {
      options.execute = [](Strand&, Core&, Effect&) {};
    }
    auto core = Core::Create({}, jobs_, RealClock().Now());
    ASSERT_TRUE(core.ok()) << core.status();
    strand_ = std::make_unique<Strand>(std::move(options), *std::move(core), RealClock());
  }
  // Keeps the strand busy until Release.
  void Block() {
    ASSERT_TRUE(strand_
                    ->Post([this](Core&, absl::Time) {
                      blocked_.set_value();
                      release_.get_future().wait();
                    })
                    .ok());
    blocked_.get_future().wait();
  }
  void Release() { release_.set_value(); }

  MemoryJobStore jobs_;
  std::promise<void> blocked_, release_;
  std::unique_ptr<Strand> strand_;
};

TEST_F(StrandTest, RunsWorkInOrderOnOneThread) {
  Start();
  std::vector<int> order;  // touched by the strand only
  std::thread::id thread;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(strand_
                    ->Post([&, i](Core&, absl::Time) {
                      if (i == 0) thread = std::this_thread::get_id();
                      EXPECT_EQ(std::this_thread::get_id(), thread);
                      order.push_back(i);
                    })
                    .ok());
  }
  const absl::StatusOr<int> size =
      strand_->Call([&](Core&, absl::Time) -> absl::StatusOr<int> { return static_cast<int>(order.size()); });
  EXPECT_EQ(*size, 100);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_F(StrandTest, AFullQueueRefusesWorkButNoCleanUp) {
  Start({.max_queued = 3});
  Block();
  int ran = 0;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(strand_->Post([&](Core&, absl::Time) { ++ran; }).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(strand_->Post([&](Core&, absl::Time) { ++ran; })));
  strand_->PostAlways([&](Core&, absl::Time) { ++ran; });
  Release();
  strand_->Stop();
  EXPECT_EQ(ran, 4);
}

TEST_F(StrandTest, StopRunsWhatWasAcceptedAndRefusesTheRest) {
  Start();
  Block();
  bool ran = false;
  ASSERT_TRUE(strand_->Post([&](Core&, absl::Time) { ran = true; }).ok());
  std::jthread stop([&] { strand_->Stop(); });
  Release();
  stop.join();
  EXPECT_TRUE(ran);
  EXPECT_TRUE(absl::IsUnavailable(strand_->Post([](Core&, absl::Time) {})));
  EXPECT_TRUE(absl::IsUnavailable(strand_->Call([](Core&, absl::Time) { return absl::OkStatus(); })));
}

TEST_F(StrandTest, QueuedAgentMessagesCostOneTransaction) {
  Start();
  ASSERT_TRUE(strand_
                  ->Call([&](Core& core, absl::Time now) {
                    core.AgentConnected(1, Hello(), now);
                    return absl::OkStatus();
                  })
                  .ok());
  Block();
  const int64_t before = jobs_.num_commits();  // the strand is blocked: nothing moves
  int done = 0;
  for (int i = 0; i < 50; ++i) {
    v1::AgentMessage message;
    message.mutable_heartbeat();
    strand_->PostAgentMessage(1, std::move(message), [&] { ++done; });
  }
  Release();
  strand_->Stop();
  EXPECT_EQ(done, 50);
  EXPECT_LE(jobs_.num_commits() - before, 1);
}

TEST_F(StrandTest, EffectsAreCarriedOutInOrderAfterTheCall) {
  std::vector<std::string> seen;
  Strand::Options options;
  options.execute = [&](Strand&, Core&, Effect& effect) {
    if (std::holds_alternative<SendToAgent>(effect)) seen.push_back("send");
    if (std::holds_alternative<CloseConnection>(effect)) seen.push_back("close");
  };
  Start(std::move(options));
  // The second stream of one agent replaces the first.
  for (const ConnectionId connection : {1, 2}) {
    ASSERT_TRUE(strand_
                    ->Call([&](Core& core, absl::Time now) {
                      core.AgentConnected(connection, Hello(), now);
                      return absl::OkStatus();
                    })
                    .ok());
  }
  strand_->Stop();
  ASSERT_GE(seen.size(), 3u);
  EXPECT_EQ(seen.front(), "send");  // the first one's welcome
  EXPECT_NE(std::find(seen.begin(), seen.end(), "close"), seen.end());
}

}  // namespace
}  // namespace vernier::server
