// What stages will need: told before, and held against the devices before a stage is leased.
#include <gmock/gmock.h>

#include "tests/unit/server_core/core_fixture.h"

namespace vernier::server {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr char kReport[] =
    "num_rows: 64 num_tokens: 131072 num_trained_tokens: 65536 max_row_tokens: 2048 "
    "lengths { max_tokens: 2048 num_rows: 64 num_tokens: 131072 }";

class PlanTest : public CoreFixture {
 protected:
  // "shaped": SmolLM2 with its layers.
  PlanTest() {
    v1::Model model;
    model.set_name("shaped");
    model.set_digest(Digest('f'));
    model.set_architecture("llama");
    model.set_context_length(8192);
    model.set_has_chat_template(true);
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(R"(
      hidden_size: 576 num_layers: 30 num_heads: 9 num_kv_heads: 3 head_dim: 64 intermediate_size: 1536
      vocab_size: 49152 rotary: true tied_head: true layers_name: "model.layers"
      linears { name: "self_attn.q_proj" in_features: 576 out_features: 576 }
      linears { name: "mlp.gate_proj" in_features: 576 out_features: 1536 }
      linears { name: "mlp.up_proj" in_features: 576 out_features: 1536 }
      linears { name: "mlp.down_proj" in_features: 1536 out_features: 576 }
      norms: "input_layernorm" norms: "post_attention_layernorm"
      matrix_parameters: 134479872 vector_parameters: 35136 stored_bytes: 538060032)",
                                                              model.mutable_shape()));
    EXPECT_TRUE(core->RegisterModel(kTenant, model, now).ok());
  }

  static v1::JobSpec Shaped(const std::string& text = "") {
    v1::JobSpec spec = SpecOf(text);
    spec.mutable_model()->set_base("shaped");
    return spec;
  }
  std::string SubmitShaped(const std::string& text = "") {
    const auto job = core->CreateJob(kTenant, Shaped(text), "", now);
    if (!job.ok()) ADD_FAILURE() << job.status();
    Pump();
    return job.ok() ? job->name() : "";
  }
  ConnectionId ConnectWith(int64_t memory_mib, const std::string& agent = "a", bool bf16 = true,
                           int threads = 4) {
    v1::AgentHello hello = Hello(agent, "i1");
    hello.mutable_devices(0)->set_threads(threads);
    hello.mutable_devices(0)->set_memory_bytes(memory_mib * kMiB);
    hello.mutable_devices(0)->set_bf16(bf16);
    return Connect(hello);
  }
  v1::StagePlan Plan(const v1::JobSpec& spec, const std::string& report = "") {
    v1::PlanJobRequest request;
    *request.mutable_spec() = spec;
    if (!report.empty()) {
      EXPECT_TRUE(
          google::protobuf::TextFormat::ParseFromString(report, &(*request.mutable_reports())["train"]));
    }
    const auto response = core->PlanJob(kTenant, request, now);
    if (!response.ok()) ADD_FAILURE() << response.status();
    return response.ok() ? response->stages(0) : v1::StagePlan();
  }
  // A job that trains to its end at `tokens_per_second`.
  void RunJob(ConnectionId agent, double tokens_per_second, double seconds = 60) {
    SubmitShaped();
    Prepare(agent, kReport);
    Held held = Accept(agent);
    Tell(held, "started { pid: 7 numeric_class: 'precision=bf16 threads=4' }");
    Publish(held);
    Finish(held,
           absl::StrCat("results { key: 'steps' value: 4 } results { key: 'train_seconds' value: ", seconds,
                        " } results { key: 'tokens_per_second' value: ", tokens_per_second, " } step: 4"));
  }
};

TEST_F(PlanTest, PlanningQueuesNothingAndNamesEveryStage) {
  ConnectWith(24000);
  v1::PlanJobRequest request;
  *request.mutable_spec() = Shaped("stages { id: 'a' train { } } stages { id: 'b' evaluate { } }");
  const auto response = core->PlanJob(kTenant, request, now);
  ASSERT_TRUE(response.ok()) << response.status();
  ASSERT_EQ(response->stages_size(), 2);
  EXPECT_EQ(response->stages(0).stage(), "a");
  EXPECT_GT(response->stages(0).peak_bytes(), 0);
  EXPECT_THAT(response->stages(1).unknown(), HasSubstr("is not planned"));
  EXPECT_EQ(response->effective().stages(0).train().micro_batch_tokens(), 2048);
  EXPECT_EQ(core->ListJobs(kTenant, {})->jobs_size(), 0);
}

TEST_F(PlanTest, AWrongSpecIsRefusedAsWhenSubmitted) {
  v1::PlanJobRequest request;
  *request.mutable_spec() = Shaped("train { checkpointed_layers: -1 }");
  EXPECT_THAT(std::string(core->PlanJob(kTenant, request, now).status().message()),
              HasSubstr("checkpointed_layers = -1 is outside [0, 1024]"));
}

TEST_F(PlanTest, AModelImportedWithoutItsLayersHasNoPlan) {
  EXPECT_THAT(Plan(SpecOf("")).unknown(), HasSubstr("import it again"));
}

TEST_F(PlanTest, ImportingAModelAgainAddsItsLayers) {
  v1::Model model = *core->GetModel(kTenant, "smollm2");
  model.mutable_shape()->set_num_layers(2);
  ASSERT_TRUE(core->RegisterModel(kTenant, model, now).ok());
  EXPECT_EQ(core->GetModel(kTenant, "smollm2")->shape().num_layers(), 2);
}

TEST_F(PlanTest, RowsCountAsWrittenBeforeTheyArePrepared) {
  ConnectWith(24000);
  EXPECT_FALSE(Plan(Shaped()).rows_measured());
  EXPECT_EQ(Plan(Shaped()).longest_row_tokens(), 8192);
  const v1::StagePlan told = Plan(Shaped(), kReport);
  EXPECT_TRUE(told.rows_measured());
  EXPECT_EQ(told.longest_row_tokens(), 2048);
  EXPECT_EQ(told.steps(), 4);
}

TEST_F(PlanTest, RowsThatAnEarlierJobPreparedAreKnown) {
  const ConnectionId agent = ConnectWith(24000);
  SubmitShaped();
  Prepare(agent, kReport);
  now += absl::Hours(1);  // another moment, the same rows
  EXPECT_EQ(Plan(Shaped()).longest_row_tokens(), 2048);
  EXPECT_FALSE(Plan(Shaped("train { data { source: 'chat' max_tokens: 4000 } }")).rows_measured());
}

TEST_F(PlanTest, TheTimeComesFromTheNewestJobOnTheDevice) {
  const ConnectionId agent = ConnectWith(24000);
  EXPECT_EQ(Plan(Shaped(), kReport).devices(0).seconds(), 0);
  RunJob(agent, 1000);
  RunJob(agent, 2000);
  const v1::StagePlan plan = Plan(Shaped(), kReport);
  EXPECT_NEAR(plan.devices(0).tokens_per_second(), 2000, 1);
  EXPECT_NEAR(plan.devices(0).seconds(), 131072 / 2000.0, 0.1);
  EXPECT_THAT(plan.devices(0).rate_basis(), HasSubstr("stage \"train\", 4 steps"));
  // Measured in bf16, on this agent.
  EXPECT_EQ(Plan(Shaped("train { precision: PRECISION_FP32 }"), kReport).devices(0).seconds(), 0);
  ConnectWith(24000, "b");
  EXPECT_EQ(Plan(Shaped(), kReport).devices(1).seconds(), 0);
}

TEST_F(PlanTest, AMomentTellsNoRate) {
  RunJob(ConnectWith(24000), 1000, /*seconds=*/0.5);
  EXPECT_EQ(Plan(Shaped(), kReport).devices(0).seconds(), 0);
}

TEST_F(PlanTest, FullTuningTakesNoRateOfAnAdapter) {
  RunJob(ConnectWith(24000), 1000);
  const v1::StagePlan plan = Plan(Shaped("train { tuning { full { } } }"), kReport);
  EXPECT_EQ(plan.devices(0).seconds(), 0);
  EXPECT_THAT(plan.devices(0).rate_basis(), HasSubstr("unknown until a first job"));
  EXPECT_THAT(plan.devices(0).rate_basis(), HasSubstr("training all weights"));
}

// More threads compute more shards at once, which needs more memory.
TEST_F(PlanTest, ADeviceOfManyThreadsNeedsMoreThanOneOfFew) {
  const std::string report =
      "num_rows: 64 num_tokens: 16000 max_row_tokens: 250 lengths { max_tokens: 256 num_rows: 64 num_tokens: "
      "16000 }";
  const std::string stage = "train { batch { rows: 8 } checkpointed_layers: 0 }";  // 4 shards of 500 tokens
  const auto peak = [&](int threads) {
    ConnectWith(24000, "few", true, threads);
    return Plan(Shaped(stage), report).devices(0).peak_bytes();
  };
  const int64_t four = peak(4), one = peak(1);
  ASSERT_GT(four, one + 100 * kMiB);
  const int64_t enough_for_one = (one + four) / 2 / kMiB;
  const ConnectionId few = ConnectWith(enough_for_one, "few", true, /*threads=*/1);
  const ConnectionId many = ConnectWith(enough_for_one, "many", true, /*threads=*/4);
  const std::string first = SubmitShaped(stage), second = SubmitShaped(stage);
  Prepare(few, report);
  Prepare(HasMessage(few, v1::ServerMessage::kPrepare) ? few : many, report);
  EXPECT_TRUE(Accept(few).task.has_train());
  EXPECT_THAT(Get(second).state_reason(), HasSubstr("all 1 that fit are in use"));
}

TEST_F(PlanTest, AStageThatFitsIsLeasedWithThePlanInItsHistory) {
  const ConnectionId agent = ConnectWith(24000);
  const std::string job = SubmitShaped();
  Prepare(agent, kReport);
  const Held held = Accept(agent);
  EXPECT_EQ(held.task.train().stage().checkpointed_layers(), 0);
  EXPECT_THAT(History(job),
              HasSubstr("of memory at the peak (agent a has 23.4 GiB), 4 steps of 32768 tokens"));
  EXPECT_THAT(Stage(job).notes(), Not(Contains(HasSubstr("activation checkpointing"))));
}

TEST_F(PlanTest, CheckpointedLayersAreChosenAndTold) {
  const ConnectionId agent = ConnectWith(Plan(Shaped(), kReport).peak_bytes() / kMiB);
  const std::string job = SubmitShaped();
  Prepare(agent, kReport);
  const Held held = Accept(agent);
  const int chosen = held.task.train().stage().checkpointed_layers();
  EXPECT_GT(chosen, 0);
  EXPECT_LT(chosen, 30);
  EXPECT_EQ(Get(job).spec().stages(0).train().checkpointed_layers(), chosen);
  EXPECT_THAT(Stage(job).notes(), Contains(HasSubstr("activation checkpointing of ")));
}

TEST_F(PlanTest, WhatFitsOnNoAgentEndsWithOneSentence) {
  const ConnectionId agent = ConnectWith(100);
  const std::string job = SubmitShaped();
  Prepare(agent, kReport);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_FAILED);
  EXPECT_EQ(Get(job).error().code(), "FAILED_PRECONDITION");
  EXPECT_THAT(Get(job).error().message(), HasSubstr("it cannot run here: it needs "));
  EXPECT_THAT(Get(job).error().message(), HasSubstr("and agent a has 100.0 MiB"));
}

TEST_F(PlanTest, WhatFitsOnAnAgentThatRestartsWaitsForIt) {
  const ConnectionId small = ConnectWith(100, "a");
  Disconnect(ConnectWith(24000, "b"));
  const std::string job = SubmitShaped();
  Prepare(small, kReport);
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_QUEUED);
  EXPECT_THAT(Get(job).state_reason(),
              HasSubstr("waiting for agent b, which was connected a moment ago: it needs "));
  EXPECT_FALSE(HasMessage(small, v1::ServerMessage::kPrepare));
  const ConnectionId large = ConnectWith(24000, "b");
  EXPECT_TRUE(Accept(large).task.has_train());
}

TEST_F(PlanTest, WhatFitsNowhereEndsOnceTheAgentThatWasThereIsLost) {
  const ConnectionId small = ConnectWith(100, "a");
  Disconnect(ConnectWith(24000, "b"));
  const std::string job = SubmitShaped();
  Prepare(small, kReport);
  const absl::Time lost = now + options.lease.ttl + options.lease.margin;
  EXPECT_EQ(core->NextWakeup(), lost);
  Advance(lost - now - absl::Milliseconds(1));
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_QUEUED);
  Advance(absl::Milliseconds(1));
  EXPECT_EQ(Get(job).state(), v1::JOB_STATE_FAILED);
  EXPECT_THAT(Get(job).error().message(), HasSubstr("and agent a has 100.0 MiB"));
}

TEST_F(PlanTest, AfterARestartAgentsGetTheTimeToDialAgain) {
  ConnectionId small = ConnectWith(100, "a");
  ConnectionId large = ConnectWith(24000, "b");
  const std::string job = SubmitShaped();
  const Held preparing = Accept(small, v1::Task::kPrepare);
  Restart();
  small = ConnectWith(100, "a");  // it has lost the preparation
  Prepare(small, kReport);
  EXPECT_THAT(Get(job).state_reason(),
              HasSubstr("waiting for agents that were connected before vernierd restarted: it needs "));
  large = ConnectWith(24000, "b");
  EXPECT_TRUE(Accept(large).task.has_train());
}

TEST_F(PlanTest, WhatFitsOnOneAgentWaitsForThatOne) {
  const ConnectionId small = ConnectWith(100, "a");
  const ConnectionId large = ConnectWith(24000, "b");
  SubmitShaped();
  Prepare(small, kReport);
  EXPECT_EQ(NextPrepare(large, v1::Task::kTrain).task().train().stage().checkpointed_layers(), 0);
  const std::string next = SubmitShaped();
  Prepare(small, kReport);
  EXPECT_THAT(Get(next).state_reason(), HasSubstr("waiting for a free device"));
}

TEST_F(PlanTest, WhatFitsInBf16IsNotSentWhereItWouldBeFp32) {
  const std::string full = "train { tuning { full { } } checkpointed_layers: 0 }";
  const auto needs = [&](const std::string& text) { return Plan(Shaped(text), kReport).peak_bytes() / kMiB; };
  const int64_t bf16 = needs(full);
  const int64_t fp32 =
      needs("train { precision: PRECISION_FP32 tuning { full { } } checkpointed_layers: 0 }");
  ASSERT_LT(bf16 + 2, fp32);
  const ConnectionId plain = ConnectWith(fp32 - 1, "a", /*bf16=*/false);
  const ConnectionId native = ConnectWith(bf16 + 1, "b");
  const std::string job = SubmitShaped(full);
  Prepare(plain, kReport);
  EXPECT_FALSE(HasMessage(plain, v1::ServerMessage::kPrepare));
  EXPECT_TRUE(NextPrepare(native, v1::Task::kTrain).task().has_train());
}

TEST_F(PlanTest, AResumedStageIsPlannedForTheAgentsThereAreThen) {
  const int64_t all = Plan(Shaped(), kReport).peak_bytes() / kMiB;
  const ConnectionId large = ConnectWith(24000);
  const std::string job = SubmitShaped();
  Prepare(large, kReport);
  Held held = Accept(large);
  EXPECT_EQ(held.task.train().stage().checkpointed_layers(), 0);
  Finish(held, "code: 9 message: 'the disk is full'");
  ASSERT_EQ(Get(job).state(), v1::JOB_STATE_FAILED);
  Disconnect(large);
  const ConnectionId small = ConnectWith(all, "b");
  ASSERT_TRUE(core->ResumeJob(kTenant, job, now).ok());
  Pump();
  Prepare(small, kReport);
  held = Accept(small);
  EXPECT_GT(held.task.train().stage().checkpointed_layers(), 0);
  Finish(held, "code: 9 message: 'the disk is full'");
}

TEST_F(PlanTest, AResumedStageKeepsTheLayersItWasGiven) {
  const ConnectionId agent = ConnectWith(24000);
  const std::string job = SubmitShaped("train { checkpointed_layers: 7 }");
  Prepare(agent, kReport);
  Held held = Accept(agent);
  Finish(held, "code: 9 message: 'the disk is full'");
  ASSERT_TRUE(core->ResumeJob(kTenant, job, now).ok());
  Pump();
  Prepare(agent, kReport);
  EXPECT_EQ(Accept(agent).task.train().stage().checkpointed_layers(), 7);
}

TEST_F(PlanTest, AnAgentThatSaysNothingOfItsMemoryGetsAnything) {
  const ConnectionId agent = Connect();
  SubmitShaped();
  Prepare(agent, kReport);
  EXPECT_FALSE(Accept(agent).task.train().stage().has_checkpointed_layers());
}

}  // namespace
}  // namespace vernier::server
