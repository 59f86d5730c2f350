#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "google/protobuf/util/message_differencer.h"
#include "tests/unit/server_validate/fake_catalog.h"

namespace vernier::server {
namespace {

using testing::ElementsAre;

v1::JobSpec Effective(const std::string& text) {
  const absl::StatusOr<Validated> validated = Validate(text);
  if (!validated.ok()) {
    ADD_FAILURE() << validated.status();
    return {};
  }
  return validated->spec;
}

TEST(DefaultsTest, ModelAndDataAreAJob) {
  const v1::JobSpec spec = Effective(kBasics);
  EXPECT_EQ(spec.version(), 1);
  EXPECT_EQ(spec.seed(), 17);
  EXPECT_EQ(spec.max_attempts(), 3);
  ASSERT_EQ(spec.stages_size(), 1);
  EXPECT_EQ(spec.stages(0).id(), "train");
  const v1::TrainStage& train = spec.stages(0).train();
  EXPECT_EQ(train.model().base(), "smollm2");
  EXPECT_EQ(train.data().source(), "chat");
  EXPECT_EQ(train.data().max_tokens(), 8192);
  EXPECT_EQ(train.data().on_overlong(), v1::ON_OVERLONG_REFUSE);
  EXPECT_EQ(train.data().on_bad_row(), v1::ON_BAD_ROW_FAIL);
  EXPECT_EQ(train.data().turns(), v1::TURNS_UNSPECIFIED);
  EXPECT_EQ(train.data().reasoning(), v1::REASONING_TRAIN);
  EXPECT_EQ(train.data().template_time(), "2023-11-14T22:13:20Z");
  EXPECT_EQ(train.tuning().lora().rank(), 8);
  EXPECT_EQ(train.tuning().lora().alpha(), 16);
  EXPECT_EQ(train.tuning().lora().dropout(), 0);
  EXPECT_THAT(train.tuning().lora().targets(), ElementsAre("all_linear"));
  EXPECT_FALSE(train.tuning().lora().rslora());
  EXPECT_EQ(train.objective().causal_lm().loss_on(), v1::LOSS_ON_ASSISTANT);
  EXPECT_EQ(train.optimizer().adamw().learning_rate(), 2e-4);
  EXPECT_EQ(train.optimizer().adamw().beta1(), 0.9);
  EXPECT_EQ(train.optimizer().adamw().beta2(), 0.999);
  EXPECT_EQ(train.optimizer().adamw().epsilon(), 1e-8);
  EXPECT_EQ(train.optimizer().adamw().weight_decay(), 0);
  EXPECT_TRUE(train.schedule().has_linear());
  EXPECT_EQ(train.schedule().warmup_steps(), 0);
  EXPECT_EQ(train.batch().rows(), 16);
  EXPECT_EQ(train.epochs(), 1);
  EXPECT_FALSE(train.has_max_steps());
  EXPECT_EQ(train.clip_norm(), 1);
  EXPECT_EQ(train.precision(), v1::PRECISION_AUTO);
  EXPECT_EQ(train.checkpoint().every_steps(), 50);
  EXPECT_EQ(train.checkpoint().keep(), 2);
  EXPECT_EQ(train.publish(), v1::PUBLISH_LAST);
  EXPECT_FALSE(train.has_early_stopping());
  EXPECT_EQ(train.layout(), v1::LAYOUT_PACKED);
  EXPECT_EQ(train.micro_batch_tokens(), 2048);
  EXPECT_EQ(train.virtual_shards(), 4);
  EXPECT_EQ(train.on_nonfinite(), v1::ON_NONFINITE_FAIL);
  EXPECT_FALSE(train.has_threads()) << "every thread of the agent";
}

TEST(DefaultsTest, ZerosThatAreLegalStay) {
  const v1::TrainStage train =
      Effective(std::string(kBasics) + R"(seed: 0 train { clip_norm: 0 checkpoint { every_steps: 0 }
                optimizer { adamw { beta1: 0 } } tuning { lora { dropout: 0 } } })")
          .stages(0)
          .train();
  EXPECT_EQ(train.clip_norm(), 0);
  EXPECT_EQ(train.checkpoint().every_steps(), 0);
  EXPECT_EQ(train.optimizer().adamw().beta1(), 0);
  EXPECT_EQ(Effective(std::string(kBasics) + "seed: 0").seed(), 0);
}

TEST(DefaultsTest, TheShortFormBecomesAStage) {
  const v1::JobSpec spec = Effective(std::string(kBasics) + "train { max_steps: 7 }");
  EXPECT_FALSE(spec.has_train());
  ASSERT_EQ(spec.stages_size(), 1);
  EXPECT_EQ(spec.stages(0).train().max_steps(), 7);
  EXPECT_FALSE(spec.stages(0).train().has_epochs());
}

TEST(DefaultsTest, FullTuningHasALowerRateAndSgdItsOwn) {
  EXPECT_EQ(Effective(std::string(kBasics) + "train { tuning { full {} } }")
                .stages(0)
                .train()
                .optimizer()
                .adamw()
                .learning_rate(),
            2e-5);
  const v1::Sgd sgd =
      Effective(std::string(kBasics) + "train { optimizer { sgd {} } }").stages(0).train().optimizer().sgd();
  EXPECT_EQ(sgd.learning_rate(), 1e-2);
  EXPECT_EQ(sgd.momentum(), 0);
  EXPECT_FALSE(sgd.nesterov());
}

TEST(DefaultsTest, AlphaFollowsTheRank) {
  EXPECT_EQ(Effective(std::string(kBasics) + "train { tuning { lora { rank: 32 } } }")
                .stages(0)
                .train()
                .tuning()
                .lora()
                .alpha(),
            64);
}

TEST(DefaultsTest, LossOnFollowsTheRows) {
  const auto loss_on = [](const std::string& dataset) {
    return Effective("model { base: 'smollm2' } data { source: '" + dataset + "' }")
        .stages(0)
        .train()
        .objective()
        .causal_lm()
        .loss_on();
  };
  EXPECT_EQ(loss_on("chat"), v1::LOSS_ON_ASSISTANT);
  EXPECT_EQ(loss_on("pairs"), v1::LOSS_ON_COMPLETION);
  EXPECT_EQ(loss_on("plain"), v1::LOSS_ON_ALL);
}

TEST(DefaultsTest, ValidationRowsBringPublishBestAndATenthOfTheSteps) {
  const std::string data = R"(model { base: "smollm2" } data { source: "chat" validation { from: "5%" } } )";
  const v1::TrainStage train =
      Effective(data + "train { max_steps: 200 early_stopping {} }").stages(0).train();
  EXPECT_EQ(train.publish(), v1::PUBLISH_BEST);
  EXPECT_EQ(train.validate().every_steps(), 20);
  EXPECT_EQ(train.early_stopping().patience(), 3);
  EXPECT_EQ(train.early_stopping().min_delta(), 0);
  EXPECT_EQ(Effective(data + "train { max_steps: 3 }").stages(0).train().validate().every_steps(), 1);
  EXPECT_FALSE(Effective(data).stages(0).train().validate().has_every_steps())
      << "the steps are not known yet";
}

TEST(DefaultsTest, EvaluateJudgesLossAndDecodesOnlyForAnswers) {
  const auto evaluate = [&](const std::string& body) {
    return Effective(std::string(kBasics) + "stages { id: 'e' evaluate { " + body + " } }")
        .stages(0)
        .evaluate();
  };
  EXPECT_THAT(evaluate("").metrics(), ElementsAre("loss", "token_accuracy"));
  EXPECT_FALSE(evaluate("").has_decoding());
  const v1::Decoding decoding = evaluate("metrics: 'rouge_l'").decoding();
  EXPECT_EQ(decoding.max_new_tokens(), 128);
  EXPECT_EQ(decoding.temperature(), 0);
  EXPECT_EQ(decoding.top_p(), 1);
  EXPECT_EQ(decoding.top_k(), 0);
  EXPECT_EQ(decoding.seed(), 17);
}

TEST(DefaultsTest, AContinuedAdapterKeepsItsOwnShape) {
  const v1::Lora lora = Effective(std::string(kBasics) + "train { init_from { job: 'jobs/aaaa' } }")
                            .stages(0)
                            .train()
                            .tuning()
                            .lora();
  EXPECT_FALSE(lora.has_rank());
  EXPECT_FALSE(lora.has_alpha());
  EXPECT_TRUE(lora.targets().empty());
  EXPECT_TRUE(lora.has_dropout());
}

TEST(DefaultsTest, ValidatingTheEffectiveSpecAgainChangesNothing) {
  for (const std::string& text : {
           std::string(kBasics),
           std::string(kBasics) +
               "train { max_steps: 20 schedule { wsd {} warmup_ratio: 0.1 } batch { tokens: 4096 } }",
           std::string(R"(model { base: "smollm2" } data { source: "pairs" validation { from: "10%" } }
               stages { id: "a" train { tuning { full {} } optimizer { sgd { momentum: 0.9 nesterov: true } } } }
               stages { id: "b" train { model { stage: "a" } schedule { polynomial {} } early_stopping {} } }
               stages { id: "c" after: "a" evaluate { model { stage: "b" } metrics: "exact_match" } })"),
       }) {
    const v1::JobSpec once = Effective(text);
    const absl::StatusOr<Validated> twice =
        ValidateSpec(once, FakeCatalog(), int64_t{4} << 20, kSubmitTime + absl::Hours(5));
    ASSERT_TRUE(twice.ok()) << twice.status();
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(once, twice->spec))
        << once.DebugString() << twice->spec.DebugString();
  }
}

}  // namespace
}  // namespace vernier::server
