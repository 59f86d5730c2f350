#include "worker/stages/evaluate/evaluate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "storage/manifest.h"
#include "tests/unit/worker_stages/stage_world.h"

namespace vernier::stages {
namespace {

using testing::HasSubstr;

// Long enough that the model answers rows it was trained on.
std::string LearntAdapter(StageWorld& world) {
  v1::TrainStage stage = SmallStage();
  stage.mutable_tuning()->mutable_lora()->set_rank(16);
  stage.set_max_steps(400);
  stage.mutable_optimizer()->mutable_adamw()->set_learning_rate(2e-2);
  stage.mutable_validate()->set_every_steps(0);
  stage.mutable_checkpoint()->set_every_steps(0);
  stage.set_publish(v1::PUBLISH_LAST);
  const auto attempt = world.Run(world.TrainTask(stage));
  EXPECT_TRUE(attempt->status.ok()) << attempt->status;
  return attempt->context.artifact()->key();
}

TEST(EvaluateTest, JudgesWhatTheModelAnswers) {
  StageWorld world(4);
  const std::string adapter = LearntAdapter(world);
  v1::Task task =
      world.EvaluateTask(adapter, {"loss", "token_accuracy", "perplexity", "exact_match", "rouge_l"});
  task.mutable_evaluate()->set_use_validation(false);
  const auto attempt = world.Run(task);
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  EXPECT_EQ(attempt->outcome.results.at("exact_match"), 1.0);
  EXPECT_EQ(attempt->outcome.results.at("rouge_l"), 1.0);
  EXPECT_LT(attempt->outcome.results.at("loss"), 0.1);
  EXPECT_EQ(attempt->outcome.results.at("rows"), 4);

  const auto artifact = attempt->context.artifact();
  ASSERT_NE(artifact, nullptr);
  EXPECT_EQ(artifact->name(), "evaluation");
  const std::string text = world.store.Get(artifact->key() + "/predictions.jsonl").value();
  const std::vector<std::string> lines = absl::StrSplit(text, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 4u);
  const nlohmann::json line = nlohmann::json::parse(lines[2]);
  EXPECT_EQ(line["line"], 3);
  EXPECT_EQ(line["prompt"], "2 is ");
  EXPECT_EQ(line["reference"], "two");
  EXPECT_EQ(line["prediction"], "two");
  EXPECT_EQ(line["scores"]["exact_match"], 1.0);
  const nlohmann::json metrics =
      nlohmann::json::parse(world.store.Get(artifact->key() + "/metrics.json").value());
  EXPECT_EQ(metrics["metrics"]["exact_match"], 1.0);
  EXPECT_EQ(metrics["rows"], 4);
  EXPECT_EQ(metrics["decoding"]["max_new_tokens"], 24);
}

TEST(EvaluateTest, TheForwardPassAloneNeedsNoText) {
  StageWorld world;
  const auto attempt = world.Run(world.EvaluateTask("", {}));
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  EXPECT_EQ(attempt->outcome.results.count("loss"), 1u);
  EXPECT_EQ(attempt->outcome.results.count("token_accuracy"), 1u);
  const std::string text = world.store.Get(attempt->context.artifact()->key() + "/predictions.jsonl").value();
  EXPECT_THAT(text, testing::Not(HasSubstr("prediction")));
}

TEST(EvaluateTest, MaxRowsTakesTheFirstOnes) {
  StageWorld world;
  v1::Task task = world.EvaluateTask("", {"loss"});
  task.mutable_evaluate()->mutable_stage()->set_max_rows(2);
  EXPECT_EQ(world.Run(task)->outcome.results.at("rows"), 2);
}

TEST(EvaluateTest, SampledAnswersDependOnTheSeedAlone) {
  StageWorld world;
  const auto predictions = [&](uint64_t seed) {
    v1::Task task = world.EvaluateTask("", {"exact_match"});
    task.mutable_evaluate()->mutable_stage()->mutable_decoding()->set_temperature(1.0);
    task.mutable_evaluate()->mutable_stage()->mutable_decoding()->set_seed(seed);
    const auto attempt = world.Run(task);
    return world.store.Get(attempt->context.artifact()->key() + "/predictions.jsonl").value();
  };
  EXPECT_EQ(predictions(1), predictions(1));
  EXPECT_NE(predictions(1), predictions(2));
}

TEST(EvaluateTest, AStopRequestEndsItWithNothingPublished) {
  StageWorld world;
  const auto attempt = world.Run(world.EvaluateTask("", {"loss", "rouge_l"}), {}, [](Attempt& attempt) {
    attempt.context.on_event = [&attempt](const v1::TaskEvent& event) {
      if (event.has_progress() && event.progress().phase() == "generating") attempt.context.stop = true;
    };
  });
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  EXPECT_TRUE(attempt->outcome.stopped);
  EXPECT_EQ(attempt->context.artifact(), nullptr);
}

TEST(EvaluateTest, BadRequestsAreNamed) {
  StageWorld world;
  const auto metric = world.Run(world.EvaluateTask("", {"bleu"}));
  EXPECT_EQ(metric->status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(metric->status.message(), HasSubstr("bleu"));
  v1::Task task = world.EvaluateTask("", {"rouge_l"});
  task.mutable_evaluate()->mutable_stage()->mutable_decoding()->set_top_p(0.0);
  EXPECT_THAT(world.Run(task)->status.message(), HasSubstr("decoding.top_p = 0"));
  EXPECT_EQ(world.Run(world.EvaluateTask("tenants/default/jobs/none", {"loss"}))->status.code(),
            absl::StatusCode::kFailedPrecondition);
  world.validation.clear();
  world.Prepare();
  const auto empty = world.Run(world.EvaluateTask("", {"loss"}));
  EXPECT_EQ(empty->status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(empty->status.message(), HasSubstr("no validation row"));
}

v1::Task GenerateTask(StageWorld& world, const std::string& adapter,
                      const std::vector<std::string>& prompts) {
  v1::Task task = world.NewTask();
  v1::GenerateTask& generate = *task.mutable_generate();
  generate.set_model_key(world.model_key);
  generate.set_adapter_key(adapter);
  generate.set_precision(v1::PRECISION_FP32);
  generate.mutable_decoding()->set_max_new_tokens(20);
  for (const std::string& prompt : prompts) generate.add_prompts(prompt);
  return task;
}

std::string TextOf(const Attempt& attempt, int prompt) {
  std::string text;
  for (const v1::TaskEvent& event : attempt.context.events()) {
    if (event.has_generated() && event.generated().prompt() == prompt) text += event.generated().text();
  }
  return text;
}

std::string StopReason(const Attempt& attempt, int prompt) {
  for (const v1::TaskEvent& event : attempt.context.events()) {
    if (event.has_generated() && event.generated().prompt() == prompt && event.generated().done()) {
      return event.generated().stop_reason();
    }
  }
  return "";
}

TEST(GenerateTest, StreamsAnswersOfEveryPrompt) {
  StageWorld world(4);
  const std::string adapter = LearntAdapter(world);
  const auto attempt = world.Run(GenerateTask(world, adapter, {"1 is ", "3 is "}));
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  EXPECT_EQ(TextOf(*attempt, 0), "one");
  EXPECT_EQ(TextOf(*attempt, 1), "three");
  EXPECT_EQ(StopReason(*attempt, 0), "stop");

  v1::Task stops = GenerateTask(world, adapter, {"3 is "});
  stops.mutable_generate()->mutable_decoding()->add_stop("re");
  const auto stopped = world.Run(stops);
  EXPECT_EQ(TextOf(*stopped, 0), "th");
  EXPECT_EQ(StopReason(*stopped, 0), "stop");

  v1::Task shorter = GenerateTask(world, adapter, {"3 is "});
  shorter.mutable_generate()->mutable_decoding()->set_max_new_tokens(2);
  const auto cut = world.Run(shorter);
  EXPECT_EQ(TextOf(*cut, 0), "th");
  EXPECT_EQ(StopReason(*cut, 0), "length");
}

TEST(GenerateTest, WhateverTheModelSaysIsValidUtf8) {
  StageWorld world;  // untrained: random bytes
  v1::Task task = GenerateTask(world, "", {"x"});
  task.mutable_generate()->mutable_decoding()->set_temperature(5.0);
  task.mutable_generate()->mutable_decoding()->set_max_new_tokens(100);
  const auto attempt = world.Run(task);
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  for (const v1::TaskEvent& event : attempt->context.events()) {
    // Serialising refuses text that is no UTF-8 in every single piece.
    v1::TaskEvent copy;
    ASSERT_TRUE(copy.ParseFromString(event.SerializeAsString()));
  }
  EXPECT_FALSE(TextOf(*attempt, 0).empty());
}

TEST(GenerateTest, APromptThatCannotBeAnsweredIsRefusedBeforeAnyIs) {
  StageWorld world;
  const auto empty = world.Run(GenerateTask(world, "", {"fine", ""}));
  EXPECT_EQ(empty->status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(empty->status.message(), HasSubstr("prompts[1]"));
  EXPECT_EQ(TextOf(*empty, 0), "");
  const auto too_long = world.Run(GenerateTask(world, "", {std::string(tiny::kContext, 'x')}));
  EXPECT_EQ(too_long->status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(too_long->status.message(), HasSubstr("128"));
}

v1::GenerateMore FurtherTurn(int64_t turn, const std::string& prompt) {
  v1::GenerateMore more;
  more.set_turn(turn);
  more.add_prompts(prompt);
  more.mutable_decoding()->set_max_new_tokens(20);
  return more;
}

TEST(GenerateTest, AKeptTaskAnswersOneRequestAfterTheOther) {
  StageWorld world(4);
  v1::Task task = GenerateTask(world, LearntAdapter(world), {"1 is "});
  task.mutable_generate()->set_keep(true);
  const auto attempt = world.Run(task, {}, [](Attempt& attempt) {
    attempt.context.further = {FurtherTurn(2, std::string(tiny::kContext, 'x')), FurtherTurn(3, "3 is ")};
  });
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  EXPECT_TRUE(attempt->outcome.stopped) << "it left because it was asked to";
  EXPECT_EQ(TextOf(*attempt, 0), "one");
  EXPECT_EQ(StopReason(*attempt, 1), "error") << "too long, which is no reason to leave";
  EXPECT_EQ(TextOf(*attempt, 2), "three");
}

TEST(GenerateTest, AnInterruptEndsTheAnswersUpToItsTurn) {
  StageWorld world(4);
  v1::Task task = GenerateTask(world, LearntAdapter(world), {"1 is "});
  task.mutable_generate()->set_keep(true);
  const auto attempt = world.Run(task, {}, [](Attempt& attempt) {
    attempt.context.further = {FurtherTurn(2, "3 is ")};
    attempt.context.on_event = [&attempt](const v1::TaskEvent& event) {
      // In the middle of the first answer.
      if (event.has_generated() && event.generated().text() == "n") attempt.context.interrupted = 1;
    };
  });
  ASSERT_TRUE(attempt->status.ok()) << attempt->status;
  EXPECT_EQ(TextOf(*attempt, 0), "on");
  EXPECT_EQ(StopReason(*attempt, 0), "interrupted");
  EXPECT_EQ(TextOf(*attempt, 1), "three");
  EXPECT_EQ(StopReason(*attempt, 1), "stop");
}

TEST(StageRegistryTest, AnUnknownKindOfWorkIsRefused) {
  StageWorld world;
  v1::Task task = world.NewTask();
  task.mutable_prepare();
  const auto attempt = world.Run(task);
  EXPECT_EQ(attempt->status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(attempt->status.message(), HasSubstr("train, evaluate, generate"));
}

}  // namespace
}  // namespace vernier::stages
