#include <gmock/gmock.h>

#include "tests/unit/server_core/core_fixture.h"

namespace vernier::server {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class GenerateTest : public CoreFixture {
 protected:
  static v1::GenerateRequest Request(const std::string& text = "model: 'smollm2' prompts: 'Hello'") {
    v1::GenerateRequest request;
    if (!google::protobuf::TextFormat::ParseFromString(text, &request)) ADD_FAILURE() << text;
    return request;
  }
  uint64_t Start() {
    const auto id = core->StartGenerate(kTenant, Request(), now);
    if (!id.ok()) ADD_FAILURE() << id.status();
    Pump();
    return id.ok() ? *id : 0;
  }
  absl::Status EndOf(uint64_t id) {
    for (const GenerateEnded& ended : Take<GenerateEnded>()) {
      if (ended.generation == id) return ended.status;
    }
    return absl::InternalError("it has not ended");
  }
};

TEST_F(GenerateTest, TextComesBackAsItIsMade) {
  const ConnectionId agent = Connect();
  const uint64_t id = Start();
  Held held = Accept(agent);
  EXPECT_EQ(held.task.generate().prompts(0), "Hello");
  EXPECT_EQ(held.task.generate().decoding().max_new_tokens(), 128);
  EXPECT_EQ(held.task.generate().model_key(), absl::StrCat("tenants/default/models/", Digest('e')));
  Tell(held, "generated { prompt: 0 text: ' there' }");
  Tell(held, "generated { prompt: 0 done: true stop_reason: 'stop' num_tokens: 2 }");
  Finish(held);
  const std::vector<GenerateOutput> output = Take<GenerateOutput>();
  ASSERT_THAT(output, SizeIs(2));
  EXPECT_EQ(output[0].response.text(), " there");
  EXPECT_EQ(output[1].response.stop_reason(), "stop");
  EXPECT_TRUE(EndOf(id).ok());
  EXPECT_EQ(core->stats().generations, 0);
}

TEST_F(GenerateTest, ItRunsBesideATrainer) {
  Submit();
  const ConnectionId agent = Connect();
  Prepare(agent);
  Accept(agent);
  Start();
  EXPECT_EQ(Accept(agent).task.threads(), 2) << "half of the threads";
}

TEST_F(GenerateTest, WithoutAnAgentItEndsWithTheReason) {
  const uint64_t id = Start();
  Advance(absl::Seconds(60));
  const absl::Status status = EndOf(id);
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no agent is connected"));
}

TEST_F(GenerateTest, ItEndsWithItsAgent) {
  const ConnectionId agent = Connect();
  const uint64_t id = Start();
  Accept(agent);
  Disconnect(agent);
  EXPECT_TRUE(absl::IsUnavailable(EndOf(id)));
  // What still runs there is not kept.
  v1::AgentHello hello = Hello("a", "i1");
  hello.add_leases()->set_lease("lease-1");
  const ConnectionId again = Connect(hello);
  EXPECT_THAT(Next(again, v1::ServerMessage::kWelcome)->welcome().keep(), IsEmpty());
}

TEST_F(GenerateTest, AnErrorOfTheTaskIsTheCallersError) {
  const ConnectionId agent = Connect();
  const uint64_t id = Start();
  Held held = Accept(agent);
  Finish(held, "code: 9 message: 'the model is gone'");
  const absl::Status status = EndOf(id);
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_EQ(status.message(), "the model is gone");
}

TEST_F(GenerateTest, WhenTheCallerGoesTheTaskDies) {
  const ConnectionId agent = Connect();
  const uint64_t id = Start();
  Held held = Accept(agent);
  core->CancelGenerate(id, now);
  Pump();
  EXPECT_TRUE(HasMessage(agent, v1::ServerMessage::kCancel));
  EXPECT_THAT(Take<GenerateEnded>(), IsEmpty()) << "nobody listens";
  Tell(held, "generated { text: 'late' }");
  EXPECT_THAT(Take<GenerateOutput>(), IsEmpty());
  core->CancelGenerate(id, now);
}

TEST_F(GenerateTest, AnAgentThatWentSilentEndsIt) {
  const ConnectionId agent = Connect();
  const uint64_t id = Start();
  Accept(agent);
  Advance(absl::Seconds(20));
  EXPECT_TRUE(absl::IsUnavailable(EndOf(id)));
}

TEST_F(GenerateTest, TooManyAtATimeAreRefused) {
  options.limits.max_generations = 2;
  Restart();
  Start();
  Start();
  EXPECT_TRUE(absl::IsResourceExhausted(core->StartGenerate(kTenant, Request(), now).status()));
}

// --- Conversations.

class ConverseTest : public GenerateTest {
 protected:
  uint64_t Converse() {
    const auto id = core->StartConversation(kTenant, Request(), now);
    if (!id.ok()) ADD_FAILURE() << id.status();
    Pump();
    return id.ok() ? *id : 0;
  }
  absl::Status Ask(uint64_t id, const std::string& text = "prompts: 'And then?'") {
    const absl::Status status = core->ContinueGenerate(id, Request(text), now);
    Pump();
    return status;
  }
  // The agent's next GenerateMore.
  v1::GenerateMore More(ConnectionId agent) {
    const auto message = Next(agent, v1::ServerMessage::kGenerateMore);
    if (!message) ADD_FAILURE() << "nothing was asked of this agent";
    return message ? message->generate_more() : v1::GenerateMore();
  }
  static constexpr char kDone[] = "generated { done: true stop_reason: 'stop' num_tokens: 2 }";
};

TEST_F(ConverseTest, OneTaskAnswersOneTurnAfterTheOther) {
  const ConnectionId agent = Connect();
  const uint64_t id = Converse();
  Held held = Accept(agent);
  EXPECT_TRUE(held.task.generate().keep());
  Tell(held, kDone);
  ASSERT_TRUE(Ask(id).ok());
  const v1::GenerateMore more = More(agent);
  EXPECT_EQ(more.lease(), held.lease);
  EXPECT_EQ(more.turn(), 2);
  EXPECT_EQ(more.prompts(0), "And then?");
  EXPECT_EQ(more.decoding().max_new_tokens(), 128) << "as in the first request";
  Tell(held, "generated { prompt: 1 text: 'more' }");
  Tell(held, "generated { prompt: 1 done: true stop_reason: 'error' error: 'too long' }");
  const std::vector<GenerateOutput> output = Take<GenerateOutput>();
  ASSERT_THAT(output, SizeIs(3));
  EXPECT_EQ(output[2].response.error(), "too long");
  EXPECT_THAT(Take<GenerateEnded>(), IsEmpty()) << "it waits for the next question";
  ASSERT_TRUE(Ask(id, "prompts: 'x' decoding { temperature: 0.5 }").ok());
  EXPECT_EQ(More(agent).decoding().temperature(), 0.5);
  core->CancelGenerate(id, now);
  Pump();
  EXPECT_TRUE(HasMessage(agent, v1::ServerMessage::kCancel));
}

TEST_F(ConverseTest, AQuestionBeforeTheAnswerIsRefused) {
  const ConnectionId agent = Connect();
  const uint64_t id = Converse();
  EXPECT_TRUE(absl::IsFailedPrecondition(Ask(id))) << "it waits for its agent";
  Accept(agent);
  EXPECT_TRUE(absl::IsFailedPrecondition(Ask(id)));
}

TEST_F(ConverseTest, AllPromptsOfATurnAreAnsweredFirst) {
  const ConnectionId agent = Connect();
  const auto id =
      core->StartConversation(kTenant, Request("model: 'smollm2' prompts: 'a' prompts: 'b'"), now);
  ASSERT_TRUE(id.ok());
  Pump();
  Held held = Accept(agent);
  Tell(held, kDone);
  EXPECT_TRUE(absl::IsFailedPrecondition(Ask(*id)));
  Tell(held, kDone);
  EXPECT_TRUE(Ask(*id).ok());
}

TEST_F(ConverseTest, AnotherModelNeedsAnotherConversation) {
  const ConnectionId agent = Connect();
  const uint64_t id = Converse();
  Held held = Accept(agent);
  Tell(held, kDone);
  EXPECT_TRUE(absl::IsInvalidArgument(Ask(id, "model: 'smollm2' prompts: 'x'")));
  EXPECT_TRUE(absl::IsInvalidArgument(Ask(id, "prompts: ''")));
  EXPECT_TRUE(absl::IsInvalidArgument(Ask(id, "prompts: 'x' decoding { top_p: 2 }")));
  EXPECT_TRUE(Ask(id).ok()) << "what was refused changed nothing";
}

TEST_F(ConverseTest, AGenerateCallIsNoConversation) {
  const ConnectionId agent = Connect();
  const uint64_t id = Start();
  Accept(agent);
  EXPECT_TRUE(absl::IsNotFound(Ask(id)));
}

TEST_F(ConverseTest, AnInterruptEndsTheAnswerUnderWayOnly) {
  const ConnectionId agent = Connect();
  const uint64_t id = Converse();
  core->InterruptGenerate(id, now);  // before there is a task: it is told once there is one
  Pump();
  Held held = Accept(agent);
  v1::GenerateMore more = More(agent);
  EXPECT_TRUE(more.interrupt());
  EXPECT_EQ(more.turn(), 1);
  Tell(held, "generated { done: true stop_reason: 'interrupted' }");
  core->InterruptGenerate(id, now);
  Pump();
  EXPECT_FALSE(HasMessage(agent, v1::ServerMessage::kGenerateMore)) << "nothing is under way";
  ASSERT_TRUE(Ask(id).ok());
  EXPECT_FALSE(More(agent).interrupt());
  for (int i = 0; i < 3; ++i) core->InterruptGenerate(id, now);
  Pump();
  more = More(agent);
  EXPECT_TRUE(more.interrupt());
  EXPECT_EQ(more.turn(), 2);
  EXPECT_FALSE(HasMessage(agent, v1::ServerMessage::kGenerateMore)) << "once is enough";
}

TEST_F(ConverseTest, OneThatRestsTooLongIsEnded) {
  options.converse_idle = absl::Seconds(9);
  Restart();
  const ConnectionId agent = Connect();
  const uint64_t id = Converse();
  Held held = Accept(agent);
  Advance(absl::Seconds(8));
  Heartbeat(agent, {held.lease});
  Advance(absl::Seconds(4));
  Tell(held, kDone);  // until here it was busy
  Heartbeat(agent, {held.lease});
  Advance(absl::Seconds(8));
  EXPECT_EQ(core->stats().generations, 1);
  EXPECT_LE(core->NextWakeup(), now + absl::Seconds(1));
  Advance(absl::Seconds(1));
  const absl::Status status = EndOf(id);
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("rested for 9s"));
  EXPECT_TRUE(HasMessage(agent, v1::ServerMessage::kCancel));
  EXPECT_TRUE(absl::IsNotFound(Ask(id)));
}

TEST_F(ConverseTest, OneThatRestsMakesWayForWorkThatWaits) {
  options.schedule.side_slots = 1;
  Restart();
  const ConnectionId agent = Connect();
  const uint64_t resting = Converse();
  Held held = Accept(agent);
  const uint64_t waiting = Start();
  EXPECT_THAT(Take<GenerateEnded>(), IsEmpty()) << "it still answers";
  Tell(held, kDone);
  EXPECT_TRUE(absl::IsUnavailable(EndOf(resting)));
  Accept(agent);
  EXPECT_EQ(core->stats().generations, 1);
  core->CancelGenerate(waiting, now);
}

TEST_F(ConverseTest, WhereThereIsRoomNobodyMakesWay) {
  const ConnectionId agent = Connect();
  Converse();
  Held held = Accept(agent);
  Tell(held, kDone);
  Start();
  Accept(agent);
  EXPECT_THAT(Take<GenerateEnded>(), IsEmpty());
}

struct RequestCase {
  std::string name;
  std::string text;
  std::string want;
};
class BadGenerateTest : public GenerateTest, public testing::WithParamInterface<RequestCase> {};

TEST_P(BadGenerateTest, IsRefused) {
  const absl::Status status = core->StartGenerate(kTenant, Request(GetParam().text), now).status();
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadGenerateTest,
    testing::ValuesIn<RequestCase>({
        {"NoPrompt", "model: 'smollm2'", "prompts: 0 of them"},
        {"EmptyPrompt", "model: 'smollm2' prompts: ''", "prompts[0]: has 0 bytes"},
        {"NoModel", "prompts: 'x'", "name an imported model"},
        {"UnknownModel", "model: 'smol' prompts: 'x'", "model \"smol\" is not known"},
        {"UnknownJob", "adapter { job: 'jobs/none' } prompts: 'x'", "job \"jobs/none\" is not known"},
        {"StageAdapter", "adapter { stage: 'sft' } prompts: 'x'", "name a job or an imported adapter"},
        {"Temperature", "model: 'smollm2' prompts: 'x' decoding { temperature: -1 }",
         "decoding.temperature = -1 is outside [0, 10]"},
        {"TooLong", "model: 'smollm2' prompts: 'x' decoding { max_new_tokens: 8192 }",
         "leaves no room for the prompt"},
    }),
    [](const auto& info) { return info.param.name; });

TEST_F(GenerateTest, AJobsAdapterBringsItsModel) {
  const std::string job = Submit();
  const ConnectionId agent = Connect();
  Prepare(agent);
  Held held = Accept(agent);
  EXPECT_TRUE(absl::IsFailedPrecondition(
      core->StartGenerate(kTenant, Request(absl::StrCat("adapter { job: '", job, "' } prompts: 'x'")), now)
          .status()))
      << "not published yet";
  Publish(held);
  Finish(held);
  ASSERT_TRUE(
      core->StartGenerate(kTenant, Request(absl::StrCat("adapter { job: '", job, "' } prompts: 'x'")), now)
          .ok());
  Pump();
  const Held generation = Accept(agent);
  EXPECT_EQ(generation.task.generate().adapter_key(), ArtifactKey(held, "adapter"));
  EXPECT_EQ(generation.task.generate().model_key(), absl::StrCat("tenants/default/models/", Digest('e')));
}

}  // namespace
}  // namespace vernier::server
