// Streams: agents, watching, metrics, generating. The agent is played by the test over a real connection.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <gtest/gtest.h>

#include <deque>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/server_api/test_server.h"
#include "vernier/v1/admin_service.grpc.pb.h"
#include "vernier/v1/agent_service.grpc.pb.h"
#include "vernier/v1/artifact_service.grpc.pb.h"
#include "vernier/v1/dataset_service.grpc.pb.h"
#include "vernier/v1/job_service.grpc.pb.h"

namespace vernier::server {
namespace {

using testing::HasSubstr;

// One agent's stream, moved by hand.
class AgentPlayer {
 public:
  explicit AgentPlayer(TestServer& server, const std::string& id = "box")
      : context_(Call()),
        stub_(v1::AgentService::NewStub(server.channel())),
        stream_(stub_->Connect(context_.get())),
        id_(id) {}
  ~AgentPlayer() { context_->TryCancel(); }

  void Hello() {
    v1::AgentMessage message;
    v1::AgentHello& hello = *message.mutable_hello();
    hello.set_agent_id(id_);
    hello.set_incarnation("1");
    hello.set_host("box.local");
    hello.set_version("0.1.0");
    hello.set_isa("avx2");
    v1::Device& device = *hello.add_devices();
    device.set_id("cpu");
    device.set_kind("cpu");
    device.set_threads(2);
    device.set_memory_bytes(int64_t{8} << 30);
    Send(message);
  }
  void Send(const v1::AgentMessage& message) { EXPECT_TRUE(stream_->Write(message)); }
  void Event(const std::string& lease, uint64_t token, v1::TaskEvent event) {
    v1::AgentMessage message;
    message.mutable_event()->set_lease(lease);
    message.mutable_event()->set_token(token);
    event.set_sequence(++sequence_);
    *message.mutable_event()->mutable_event() = std::move(event);
    Send(message);
  }
  // The next message of this kind; others (acks, renewals) are passed over. None: the stream ended.
  std::optional<v1::ServerMessage> Await(v1::ServerMessage::MessageCase kind) {
    v1::ServerMessage message;
    while (stream_->Read(&message)) {
      if (message.message_case() == kind) return message;
    }
    return std::nullopt;
  }
  grpc::Status Finish() { return stream_->Finish(); }

  // Takes the next lease; returns its task.
  v1::Task TakeLease() {
    const auto prepare = Await(v1::ServerMessage::kPrepare);
    if (!prepare) {
      ADD_FAILURE() << "no lease: " << Finish().error_message();
      return {};
    }
    lease_ = prepare->prepare().lease();
    v1::AgentMessage reply;
    reply.mutable_prepare_reply()->set_lease(lease_);
    reply.mutable_prepare_reply()->set_ok(true);
    Send(reply);
    EXPECT_TRUE(Await(v1::ServerMessage::kCommit).has_value());
    sequence_ = 0;
    return prepare->prepare().task();
  }
  const std::string& lease() const { return lease_; }

 private:
  const std::unique_ptr<grpc::ClientContext> context_;
  const std::unique_ptr<v1::AgentService::Stub> stub_;
  const std::unique_ptr<grpc::ClientReaderWriter<v1::AgentMessage, v1::ServerMessage>> stream_;
  const std::string id_;
  std::string lease_;
  int64_t sequence_ = 0;
};

v1::Job CreateJob(TestServer& server, const std::string& request_id = "") {
  const auto stub = v1::JobService::NewStub(server.channel());
  const auto context = Call();
  v1::CreateJobRequest request;
  request.set_request_id(request_id);
  request.mutable_spec()->mutable_model()->set_base("tiny");
  request.mutable_spec()->mutable_data()->set_source("rows");
  v1::CreateJobResponse response;
  const grpc::Status status = stub->CreateJob(context.get(), request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.job();
}

TEST(AgentServiceTest, WelcomesAndListsAnAgent) {
  TestServer server;
  AgentPlayer agent(server);
  agent.Hello();
  const auto welcome = agent.Await(v1::ServerMessage::kWelcome);
  ASSERT_TRUE(welcome.has_value());
  EXPECT_EQ(welcome->welcome().epoch(), 1u);
  const auto stub = v1::AdminService::NewStub(server.channel());
  const auto context = Call();
  v1::ListAgentsResponse agents;
  ASSERT_TRUE(stub->ListAgents(context.get(), {}, &agents).ok());
  ASSERT_EQ(agents.agents_size(), 1);
  EXPECT_EQ(agents.agents(0).id(), "box");
  EXPECT_TRUE(agents.agents(0).connected());
}

TEST(AgentServiceTest, WhoDoesNotSayHelloFirstIsSentAway) {
  TestServer server;
  AgentPlayer agent(server);
  v1::AgentMessage message;
  message.mutable_heartbeat();
  agent.Send(message);
  EXPECT_FALSE(agent.Await(v1::ServerMessage::kWelcome).has_value());
  const grpc::Status status = agent.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("hello"));
}

TEST(AgentServiceTest, ASecondStreamOfAnAgentReplacesTheFirst) {
  TestServer server;
  AgentPlayer first(server);
  first.Hello();
  ASSERT_TRUE(first.Await(v1::ServerMessage::kWelcome).has_value());
  AgentPlayer second(server);
  second.Hello();
  ASSERT_TRUE(second.Await(v1::ServerMessage::kWelcome).has_value());
  EXPECT_FALSE(first.Await(v1::ServerMessage::kWelcome).has_value());
  EXPECT_FALSE(first.Finish().ok());
}

TEST(AgentServiceTest, AFloodOfHeartbeatsIsTakenInOrder) {
  TestServer server;
  AgentPlayer agent(server);
  agent.Hello();
  v1::AgentMessage message;
  message.mutable_heartbeat();
  for (int i = 0; i < 2'000; ++i) agent.Send(message);  // far more than the server reads ahead
  EXPECT_TRUE(agent.Await(v1::ServerMessage::kRenew).has_value());
}

TEST(WatchJobTest, TellsTheStoryThenTheNewsThenTheEnd) {
  FilledServer filled;
  TestServer& server = *filled;
  const v1::Job job = CreateJob(server);
  EXPECT_THAT(job.state_reason(), HasSubstr("no agent"));

  const auto stub = v1::JobService::NewStub(server.channel());
  const auto context = Call();
  v1::WatchJobRequest request;
  request.set_name(job.name());
  const auto reader = stub->WatchJob(context.get(), request);
  v1::WatchJobResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.job().name(), job.name());
  EXPECT_FALSE(response.has_event());

  const auto cancel_context = Call();
  v1::CancelJobRequest cancel;
  cancel.set_name(job.name());
  v1::CancelJobResponse cancelled;
  ASSERT_TRUE(stub->CancelJob(cancel_context.get(), cancel, &cancelled).ok());

  int64_t sequence = 0;
  v1::WatchJobResponse last;
  while (reader->Read(&response)) {
    if (response.event().sequence() > 0) {
      EXPECT_EQ(response.event().sequence(), ++sequence);
    }
    last = response;
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_GT(sequence, 0);
  EXPECT_EQ(last.job().state(), v1::JOB_STATE_CANCELLED);
}

TEST(WatchJobTest, AnEndedJobIsToldAndLeft) {
  FilledServer filled;
  TestServer& server = *filled;
  const v1::Job job = CreateJob(server);
  const auto stub = v1::JobService::NewStub(server.channel());
  auto context = Call();
  v1::CancelJobRequest cancel;
  cancel.set_name(job.name());
  v1::CancelJobResponse cancelled;
  ASSERT_TRUE(stub->CancelJob(context.get(), cancel, &cancelled).ok());
  for (const int64_t after : {int64_t{0}, int64_t{1'000'000}}) {
    context = Call();
    v1::WatchJobRequest request;
    request.set_name(job.name());
    request.set_after_sequence(after);
    const auto reader = stub->WatchJob(context.get(), request);
    v1::WatchJobResponse response, last;
    while (reader->Read(&response)) last = response;
    EXPECT_TRUE(reader->Finish().ok());
    EXPECT_EQ(last.job().state(), v1::JOB_STATE_CANCELLED) << after;
  }
}

TEST(WatchJobTest, AMissingJobIsAnError) {
  TestServer server;
  const auto stub = v1::JobService::NewStub(server.channel());
  const auto context = Call();
  v1::WatchJobRequest request;
  request.set_name("jobs/none");
  const auto reader = stub->WatchJob(context.get(), request);
  v1::WatchJobResponse response;
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(StreamMetricsTest, EndsAtOnceWithoutFollow) {
  FilledServer filled;
  TestServer& server = *filled;
  const v1::Job job = CreateJob(server);
  const auto stub = v1::JobService::NewStub(server.channel());
  const auto context = Call();
  v1::StreamMetricsRequest request;
  request.set_name(job.name());
  const auto reader = stub->StreamMetrics(context.get(), request);
  v1::StreamMetricsResponse response;
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_TRUE(reader->Finish().ok());
}

// Data prepared and training begun, as an agent tells it.
v1::Task TakeTraining(AgentPlayer& agent) {
  const v1::Task prepare = agent.TakeLease();
  EXPECT_TRUE(prepare.has_prepare());
  v1::TaskEvent event;
  event.mutable_prepared()->set_key("tenants/default/prepared/x");
  event.mutable_prepared()->mutable_report()->set_num_rows(10);
  event.mutable_prepared()->mutable_report()->set_num_trained_tokens(100);
  event.mutable_prepared()->mutable_report()->set_num_tokens(200);
  agent.Event(agent.lease(), prepare.token(), event);
  event.Clear();
  event.mutable_finished();
  agent.Event(agent.lease(), prepare.token(), event);
  return agent.TakeLease();
}

TEST(StreamMetricsTest, FollowsTrainingToItsEnd) {
  FilledServer filled;
  TestServer& server = *filled;
  AgentPlayer agent(server);
  agent.Hello();
  const v1::Job job = CreateJob(server);
  const v1::Task task = TakeTraining(agent);
  ASSERT_TRUE(task.has_train());

  const auto stub = v1::JobService::NewStub(server.channel());
  const auto context = Call(), watch_context = Call();
  v1::StreamMetricsRequest request;
  request.set_name(job.name());
  request.set_follow(true);
  const auto metrics = stub->StreamMetrics(context.get(), request);
  v1::WatchJobRequest watch;
  watch.set_name(job.name());
  const auto watcher = stub->WatchJob(watch_context.get(), watch);
  // Progress is told to those who watch already: the first message says that the server knows of this one.
  v1::WatchJobResponse news;
  ASSERT_TRUE(watcher->Read(&news));

  v1::TaskEvent event;
  event.mutable_started()->set_pid(1);
  event.mutable_started()->set_numeric_class("fp32 2 threads");
  agent.Event(agent.lease(), task.token(), event);
  for (int step = 1; step <= 3; ++step) {
    event.Clear();
    event.mutable_metric()->set_step(step);
    (*event.mutable_metric()->mutable_values())["train_loss"] = 3.0 - step;
    agent.Event(agent.lease(), task.token(), event);
  }
  v1::StreamMetricsResponse response;
  std::vector<int64_t> steps;
  while (steps.size() < 3 && metrics->Read(&response)) {
    for (const v1::MetricPoint& point : response.points()) steps.push_back(point.step());
  }
  EXPECT_THAT(steps, testing::ElementsAre(1, 2, 3));

  event.Clear();
  event.mutable_progress()->set_phase("training");
  event.mutable_progress()->set_step(3);
  agent.Event(agent.lease(), task.token(), event);
  bool live = false;
  while (!live && watcher->Read(&news)) live = news.event().progress().step() == 3;
  EXPECT_TRUE(live);

  event.Clear();
  event.mutable_finished()->set_code(static_cast<int>(absl::StatusCode::kInvalidArgument));
  event.mutable_finished()->set_message("the rows are all alike");
  event.mutable_finished()->set_cause(v1::TaskFinished::CAUSE_RAISED);
  agent.Event(agent.lease(), task.token(), event);
  while (metrics->Read(&response)) {
  }
  EXPECT_TRUE(metrics->Finish().ok());
  v1::WatchJobResponse last;
  while (watcher->Read(&news)) last = news;
  EXPECT_TRUE(watcher->Finish().ok());
  EXPECT_EQ(last.job().state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(last.job().error().message(), HasSubstr("the rows are all alike"));
}

TEST(WatchTest, UntilNowEndsWithTheStoredEvents) {
  FilledServer filled;
  const v1::Job job = CreateJob(*filled);
  const auto context = Call();
  const auto stub = v1::JobService::NewStub(filled->channel());
  v1::WatchJobRequest request;
  request.set_name(job.name());
  request.set_until_now(true);
  const auto watcher = stub->WatchJob(context.get(), request);
  v1::WatchJobResponse news;
  int events = 0;
  while (watcher->Read(&news)) events += news.has_event() ? 1 : 0;
  EXPECT_TRUE(watcher->Finish().ok()) << "the job goes on, the stream does not";
  EXPECT_GE(events, 1);
}

class GenerateTest : public testing::Test {
 protected:
  GenerateTest() : agent_(*server_), stub_(v1::ArtifactService::NewStub(server_->channel())) {
    agent_.Hello();
    request_.set_model("tiny");
    request_.add_prompts("hello");
    request_.mutable_decoding()->set_max_new_tokens(8);
  }

  FilledServer server_;
  AgentPlayer agent_;
  const std::unique_ptr<v1::ArtifactService::Stub> stub_;
  v1::GenerateRequest request_;
};

TEST_F(GenerateTest, PiecesArriveAsTheyAreMade) {
  const auto context = Call();
  const auto reader = stub_->Generate(context.get(), request_);
  const v1::Task task = agent_.TakeLease();
  ASSERT_TRUE(task.has_generate());
  EXPECT_EQ(task.generate().prompts(0), "hello");
  v1::TaskEvent event;
  event.mutable_generated()->set_text(" wor");
  agent_.Event(agent_.lease(), task.token(), event);
  v1::GenerateResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.text(), " wor");
  event.mutable_generated()->set_text("ld");
  event.mutable_generated()->set_done(true);
  event.mutable_generated()->set_stop_reason("stop");
  agent_.Event(agent_.lease(), task.token(), event);
  event.Clear();
  event.mutable_finished();
  agent_.Event(agent_.lease(), task.token(), event);
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.text(), "ld");
  EXPECT_TRUE(response.done());
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(GenerateTest, AClientThatLeavesTakesTheWorkAlong) {
  const auto context = Call();
  const auto reader = stub_->Generate(context.get(), request_);
  agent_.TakeLease();
  context->TryCancel();
  const auto cancel = agent_.Await(v1::ServerMessage::kCancel);
  ASSERT_TRUE(cancel.has_value());
  EXPECT_EQ(cancel->cancel().lease(), agent_.lease());
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(GenerateTest, AnAgentThatFailsEndsTheCallWithItsReason) {
  const auto context = Call();
  const auto reader = stub_->Generate(context.get(), request_);
  const v1::Task task = agent_.TakeLease();
  v1::TaskEvent event;
  event.mutable_finished()->set_code(static_cast<int>(absl::StatusCode::kInvalidArgument));
  event.mutable_finished()->set_message("prompts[0] has more tokens than the context");
  agent_.Event(agent_.lease(), task.token(), event);
  v1::GenerateResponse response;
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_THAT(reader->Finish().error_message(), HasSubstr("prompts[0] has more tokens than the context"));
}

TEST_F(GenerateTest, AnUnknownModelIsNamed) {
  request_.set_model("tinny");
  const auto context = Call();
  const auto reader = stub_->Generate(context.get(), request_);
  v1::GenerateResponse response;
  EXPECT_FALSE(reader->Read(&response));
  const grpc::Status status = reader->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("tinny"));
}

class ConverseTest : public GenerateTest {
 protected:
  using Stream = grpc::ClientReaderWriter<v1::ConverseRequest, v1::GenerateResponse>;

  void Ask(Stream& stream, const v1::GenerateRequest& request) {
    v1::ConverseRequest message;
    *message.mutable_ask() = request;
    EXPECT_TRUE(stream.Write(message));
  }
  void AnswerDone(const v1::Task& task, const std::string& text) {
    v1::TaskEvent event;
    event.mutable_generated()->set_text(text);
    event.mutable_generated()->set_done(true);
    event.mutable_generated()->set_stop_reason("stop");
    agent_.Event(agent_.lease(), task.token(), event);
  }
};

TEST_F(ConverseTest, TurnsGoToOneTaskAndLeavingEndsIt) {
  const auto context = Call();
  const auto stream = stub_->Converse(context.get());
  Ask(*stream, request_);
  const v1::Task task = agent_.TakeLease();
  EXPECT_TRUE(task.generate().keep());
  AnswerDone(task, "one");
  v1::GenerateResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.text(), "one");
  v1::GenerateRequest further;
  further.add_prompts("and?");
  Ask(*stream, further);
  auto more = agent_.Await(v1::ServerMessage::kGenerateMore);
  ASSERT_TRUE(more.has_value());
  EXPECT_EQ(more->generate_more().prompts(0), "and?");
  v1::ConverseRequest interrupt;
  interrupt.mutable_interrupt();
  ASSERT_TRUE(stream->Write(interrupt));
  more = agent_.Await(v1::ServerMessage::kGenerateMore);
  ASSERT_TRUE(more.has_value());
  EXPECT_TRUE(more->generate_more().interrupt());
  AnswerDone(task, "two");
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.text(), "two");
  stream->WritesDone();
  const auto cancel = agent_.Await(v1::ServerMessage::kCancel);
  ASSERT_TRUE(cancel.has_value());
  EXPECT_EQ(cancel->cancel().lease(), agent_.lease());
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ConverseTest, AClientThatVanishesTakesTheWorkAlong) {
  const auto context = Call();
  const auto stream = stub_->Converse(context.get());
  Ask(*stream, request_);
  agent_.TakeLease();
  context->TryCancel();
  EXPECT_TRUE(agent_.Await(v1::ServerMessage::kCancel).has_value());
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(ConverseTest, WhatMakesNoSenseEndsIt) {
  const auto context = Call();
  const auto stream = stub_->Converse(context.get());
  EXPECT_TRUE(stream->Write({}));
  v1::GenerateResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(StopTest, EndsEveryStreamWithinItsGrace) {
  FilledServer filled;
  TestServer& server = *filled;
  const v1::Job job = CreateJob(server);
  AgentPlayer agent(server);
  agent.Hello();
  ASSERT_TRUE(agent.Await(v1::ServerMessage::kWelcome).has_value());
  const auto stub = v1::JobService::NewStub(server.channel());
  const auto context = Call();
  v1::WatchJobRequest request;
  request.set_name(job.name());
  const auto reader = stub->WatchJob(context.get(), request);
  v1::WatchJobResponse response;
  ASSERT_TRUE(reader->Read(&response));

  const absl::Time start = absl::Now();
  std::jthread stop([&] { EXPECT_TRUE(server.plane().Stop(absl::Seconds(20))); });
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_FALSE(agent.Await(v1::ServerMessage::kWelcome).has_value());
  EXPECT_EQ(agent.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  stop.join();
  EXPECT_LT(absl::Now() - start, absl::Seconds(15));
}

}  // namespace
}  // namespace vernier::server
