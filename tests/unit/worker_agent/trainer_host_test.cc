#include "worker/agent/trainer_host.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/testing/process.h"
#include "tests/testing/temp_folder.h"

namespace vernier::agent {
namespace {

// A trainer that says and hears what a test wants.
class Trainer {
 public:
  Trainer(const std::string& socket, const std::string& lease) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(64 << 20);
    channel_ = grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments);
    stub_ = v1::TrainerService::NewStub(channel_);
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    stream_ = stub_->Attach(&context_);
    v1::TrainerUp hello;
    hello.mutable_hello()->set_lease(lease);
    stream_->Write(hello);
  }
  // The next command; nothing set: the host has closed the stream.
  v1::TrainerDown Hear() {
    v1::TrainerDown down;
    stream_->Read(&down);
    return down;
  }
  grpc::Status Leave() {
    stream_->WritesDone();
    v1::TrainerDown down;
    while (stream_->Read(&down)) {
    }
    return stream_->Finish();
  }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::TrainerService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::TrainerUp, v1::TrainerDown>> stream_;
};

class TrainerHostTest : public testing::Test {
 protected:
  TrainerHostTest() {
    auto host = TrainerHost::Create(folder_.File("run"), [](const std::string&, v1::TaskEvent) {});
    EXPECT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
    v1::Task task;
    task.set_job("generations/1");
    host_->Expect("a", task);
  }
  static v1::GenerateMore Turn(int64_t turn, const std::string& prompt = "x") {
    v1::GenerateMore more;
    more.set_turn(turn);
    more.add_prompts(prompt);
    return more;
  }

  TempFolder folder_;
  std::unique_ptr<TrainerHost> host_;
};

TEST_F(TrainerHostTest, TheTaskComesFirstAndCommandsInTheirOrder) {
  host_->Tell("a", Turn(2));  // before it has dialled
  Trainer trainer(host_->socket_path(), "a");
  EXPECT_EQ(trainer.Hear().task().job(), "generations/1");
  EXPECT_EQ(trainer.Hear().more().turn(), 2);
  host_->Tell("a", Turn(3));
  host_->Stop("a", "");
  EXPECT_EQ(trainer.Hear().more().turn(), 3);
  EXPECT_EQ(trainer.Hear().stop().reason(), "asked to stop");
  EXPECT_TRUE(trainer.Leave().ok());
  host_->WaitDetached("a", absl::Now() + kPatience);
}

TEST_F(TrainerHostTest, ATrainerThatDoesNotListenHoldsUpNobody) {
  Trainer deaf(host_->socket_path(), "a");
  EXPECT_TRUE(deaf.Hear().has_task());
  const std::string large(1 << 20, 'x');
  for (int turn = 2; turn < 50; ++turn) host_->Tell("a", Turn(turn, large));  // far more than a socket takes
  host_->Expect("b", {});
  Trainer other(host_->socket_path(), "b");
  EXPECT_TRUE(other.Hear().has_task());
  host_->Stop("b", "enough");
  EXPECT_EQ(other.Hear().stop().reason(), "enough");
  EXPECT_TRUE(other.Leave().ok());
  host_->Forget("a");
}

TEST_F(TrainerHostTest, NobodyGetsATaskThatWaitsForAnother) {
  Trainer stranger(host_->socket_path(), "b");
  EXPECT_FALSE(stranger.Hear().has_task());
  EXPECT_EQ(stranger.Leave().error_code(), grpc::StatusCode::NOT_FOUND);
  host_->Tell("b", Turn(2));
  host_->Stop("b", "in vain");
}

}  // namespace
}  // namespace vernier::agent
