#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/server_validate/fake_catalog.h"

namespace vernier::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::vector<StageRecord> Stages(const std::string& text) {
  const absl::StatusOr<Validated> validated = Validate(std::string(kBasics) + text);
  if (!validated.ok()) ADD_FAILURE() << validated.status();
  return validated.ok() ? validated->stages : std::vector<StageRecord>(9);
}

std::string ErrorOf(const std::string& text) {
  return std::string(Validate(std::string(kBasics) + text).status().message());
}

TEST(ReferencesTest, NamesBecomeDigests) {
  const StageRecord stage = Stages("train { data { source: 'pairs' validation { from: 'chat' } } }")[0];
  EXPECT_EQ(stage.model_digest(), "digest-smollm2");
  EXPECT_EQ(stage.model_name(), "smollm2");
  EXPECT_EQ(stage.context_length(), 8192);
  EXPECT_EQ(stage.dataset_digest(), "digest-pairs");
  EXPECT_EQ(stage.validation_digest(), "digest-chat");
  EXPECT_EQ(stage.loss_on(), v1::LOSS_ON_COMPLETION);
  EXPECT_THAT(stage.needs(), IsEmpty());
}

TEST(ReferencesTest, DatasetsOfAMixtureBecomeDigestsInOrder) {
  const StageRecord stage =
      Stages("train { data { mix { source: 'pairs' weight: 2 } mix { source: 'chat' weight: 1 } } }")[0];
  EXPECT_THAT(stage.mix_digests(), ElementsAre("digest-pairs", "digest-chat"));
  EXPECT_EQ(stage.dataset_digest(), "");
  EXPECT_TRUE(stage.has_data());
  EXPECT_EQ(stage.loss_on(), v1::LOSS_ON_COMPLETION) << "as the first dataset's rows";
}

TEST(ReferencesTest, ExportsKnowWhatTheyAreMadeOf) {
  const auto stages = Stages(
      "stages { id: 'sft' train { data { source: 'chat' chat_template: 'own' } } }"
      "stages { id: 'out' export { model { stage: 'sft' } profiles: 'gguf' } }"
      "stages { id: 'bare' export {} }"
      "stages { id: 'old' export { job: 'jobs/aaaa' profiles: ['peft', 'merged'] } }"
      "stages { id: 'full' export { job: 'jobs/full' } }"
      "stages { id: 'on' export { adapter { job: 'jobs/aaaa' } profiles: 'serving' } }");
  EXPECT_EQ(stages[1].adapter_stage(), "sft");
  EXPECT_THAT(stages[1].needs(), ElementsAre("sft"));
  EXPECT_EQ(stages[1].chat_template(), "own") << "what training rendered with is what servers render with";
  EXPECT_EQ(stages[1].source(), "stage \"sft\"");
  EXPECT_TRUE(stages[1].source_is_adapter());
  EXPECT_FALSE(stages[2].source_is_adapter());
  EXPECT_EQ(stages[2].model_digest(), "digest-smollm2");
  EXPECT_THAT(stages[2].adapter_key(), IsEmpty());
  EXPECT_EQ(stages[3].adapter_key(), "tenants/default/jobs/aaaa/stages/train/artifacts/adapter");
  EXPECT_EQ(stages[3].source_prepared_key(), "tenants/default/prepared/rows");
  EXPECT_EQ(stages[3].chat_template(), "{{ messages }}");
  EXPECT_EQ(stages[4].model_key(), "tenants/default/jobs/full/stages/train/artifacts/weights");
  EXPECT_THAT(stages[4].adapter_key(), IsEmpty());
  EXPECT_EQ(stages[5].adapter_key(), "tenants/default/jobs/aaaa/stages/train/artifacts/adapter");
}

TEST(ReferencesTest, AStackOfAdaptersIsExportedMerged) {
  const std::string stack =
      "stages { id: 'a' train {} } stages { id: 'b' train { model { stage: 'a' } } }"
      "stages { id: 'out' export { model { stage: 'b' } ";
  EXPECT_EQ(Stages(stack + "profiles: ['merged', 'gguf'] } }")[2].adapter_stage(), "b");
  EXPECT_THAT(ErrorOf(stack + "profiles: 'serving' } }"), HasSubstr("which lies on top of another one"));
}

TEST(ReferencesTest, FormatsSayWhatIsTrained) {
  const std::vector<std::tuple<std::string, std::string, v1::LossOn>> cases = {
      {"alpaca", "", v1::LOSS_ON_ASSISTANT},
      {"csv/text", "", v1::LOSS_ON_ALL},
      {"jsonl.gz/prompt_completion", "", v1::LOSS_ON_COMPLETION},
      {"parquet", "", v1::LOSS_ON_UNSPECIFIED},
      {"parquet", "format: 'sharegpt'", v1::LOSS_ON_ASSISTANT},
      {"jsonl", "columns { key: 'text' value: 'body' }", v1::LOSS_ON_UNSPECIFIED},
      {"preference", "columns { key: 'completion' value: 'chosen' }", v1::LOSS_ON_UNSPECIFIED},
  };
  for (const auto& [format, options, want] : cases) {
    FakeCatalog catalog;
    catalog.AddDataset("rows", format);
    const auto validated =
        Validate(std::string(kBasics) + "train { data { source: 'rows' " + options + " } }", catalog);
    ASSERT_TRUE(validated.ok()) << validated.status();
    EXPECT_EQ(validated->stages[0].loss_on(), want) << format << " " << options;
  }
}

TEST(ReferencesTest, RowsThatCannotBeTrainedOnAreRefused) {
  FakeCatalog catalog;
  catalog.AddDataset("pairs", "json/preference");
  catalog.AddDataset("odd", "csv");
  const auto error = [&](const std::string& name) {
    return std::string(Validate(std::string(kBasics) + "train { data { source: '" + name + "' } }", catalog)
                           .status()
                           .message());
  };
  EXPECT_THAT(error("pairs"), HasSubstr("data.source: dataset \"pairs\" has preference pairs"));
  EXPECT_THAT(error("odd"), HasSubstr("say with data.columns which holds what"));
}

TEST(ReferencesTest, AShareBecomesAFraction) {
  const StageRecord stage = Stages("train { data { source: 'chat' validation { from: '2.5%' } } }")[0];
  EXPECT_DOUBLE_EQ(stage.validation_fraction(), 0.025);
  EXPECT_EQ(stage.validation_digest(), "");
}

TEST(ReferencesTest, EvaluatingAStageNeedsItAndUsesItsAdapter) {
  const std::vector<StageRecord> stages =
      Stages("stages { id: 'judge' evaluate { model { stage: 'sft' } } } stages { id: 'sft' train {} }");
  EXPECT_THAT(stages[0].needs(), ElementsAre("sft"));
  EXPECT_EQ(stages[0].adapter_stage(), "sft");
  EXPECT_EQ(stages[0].weights_stage(), "");
  EXPECT_EQ(stages[0].model_digest(), "digest-smollm2");
}

TEST(ReferencesTest, EvaluatingFullTuningUsesItsWeights) {
  const std::vector<StageRecord> stages = Stages(
      "stages { id: 'sft' train { tuning { full {} } } } stages { id: 'judge' evaluate { model { stage: "
      "'sft' } } }");
  EXPECT_EQ(stages[1].weights_stage(), "sft");
  EXPECT_EQ(stages[1].adapter_stage(), "");
}

TEST(ReferencesTest, TrainingOnAnAdapterStartsWithItMerged) {
  const std::vector<StageRecord> stages = Stages(
      "stages { id: 'a' train {} } stages { id: 'b' train { model { stage: 'a' } tuning { full {} } } } "
      "stages { id: 'c' evaluate { model { stage: 'b' } } }");
  EXPECT_EQ(stages[1].start_adapter_stage(), "a");
  EXPECT_EQ(stages[2].weights_stage(), "b");
  EXPECT_EQ(stages[2].start_adapter_stage(), "");
}

TEST(ReferencesTest, TwoAdaptersCannotBeStacked) {
  EXPECT_THAT(
      ErrorOf("stages { id: 'a' train {} } stages { id: 'b' train { model { stage: 'a' } } } "
              "stages { id: 'c' evaluate { model { stage: 'b' } } }"),
      HasSubstr("stage \"c\": model.stage: the adapter of \"b\" lies on top of the adapter of \"a\""));
}

TEST(ReferencesTest, EvaluationJudgesTheTokensThatWereTrained) {
  const std::vector<StageRecord> stages = Stages(
      "stages { id: 'sft' train { objective { causal_lm { loss_on: LOSS_ON_ALL } } } } "
      "stages { id: 'judge' evaluate { model { stage: 'sft' } } }");
  EXPECT_EQ(stages[1].loss_on(), v1::LOSS_ON_ALL);
}

TEST(ReferencesTest, InitFromAStage) {
  const std::vector<StageRecord> stages =
      Stages("stages { id: 'a' train {} } stages { id: 'b' train { init_from { stage: 'a' } } }");
  EXPECT_THAT(stages[1].needs(), ElementsAre("a"));
  EXPECT_EQ(stages[1].adapter_stage(), "a");
}

TEST(ReferencesTest, InitFromAJobResolvesToItsKey) {
  EXPECT_EQ(Stages("train { init_from { job: 'jobs/aaaa' } }")[0].adapter_key(),
            "tenants/default/jobs/aaaa/stages/train/artifacts/adapter");
  EXPECT_EQ(Stages("train { init_from { adapter: 'adapters/cafe' } }")[0].adapter_key(),
            "tenants/default/adapters/cafe");
}

TEST(ReferencesTest, AnAdapterOfAnotherModelIsRefused) {
  EXPECT_THAT(
      ErrorOf(
          "train { model { base: 'tiny-gpt2' } data { source: 'pairs' } init_from { job: 'jobs/aaaa' } }"),
      HasSubstr(
          "init_from: that adapter was trained on model \"smollm2\", and this stage uses \"tiny-gpt2\""));
}

TEST(ReferencesTest, InitFromNeedsAnAdapter) {
  EXPECT_THAT(ErrorOf("stages { id: 'a' train { tuning { full {} } } } "
                      "stages { id: 'b' train { init_from { stage: 'a' } } }"),
              HasSubstr("init_from.stage: \"a\" publishes no adapter; use model: {stage: a}"));
  EXPECT_THAT(ErrorOf("train { tuning { full {} } init_from { job: 'jobs/aaaa' } }"),
              HasSubstr("init_from continues an adapter, and tuning is full"));
  EXPECT_THAT(ErrorOf("train { init_from {} }"), HasSubstr("init_from names no adapter"));
}

TEST(ReferencesTest, AnExportWithAWrongAdapterHasOneError) {
  const std::string wrong = ErrorOf(
      "stages { id: 'sft' train {} } "
      "stages { id: 'out' export { model { base: 'smollm2' } adapter { adapter: 'adapters/none' } "
      "profiles: 'peft' } }");
  EXPECT_THAT(wrong, HasSubstr("stage \"out\": adapter: "));
  EXPECT_THAT(wrong, Not(HasSubstr("profiles")));
}

TEST(ReferencesTest, TheStageOfAStackedAdapterIsExportedWhole) {
  const std::string stages = "stages { id: 'a' train {} } stages { id: 'b' train { model { stage: 'a' } } } ";
  EXPECT_THAT(
      ErrorOf(stages + "stages { id: 'out' export { model { base: 'smollm2' } adapter { stage: 'b' } } }"),
      HasSubstr("adapter.stage: the adapter of \"b\" was trained on another model; use model: {stage: b} "
                "alone, without adapter"));
  EXPECT_THAT(ErrorOf(stages + "stages { id: 'c' train { init_from { stage: 'b' } } }"),
              HasSubstr("give both the same model"));
  EXPECT_EQ(Stages(stages + "stages { id: 'out' export { model { stage: 'b' } } }")[2].adapter_stage(), "b");
}

TEST(ReferencesTest, AfterIsANeed) {
  const std::vector<StageRecord> stages =
      Stages("stages { id: 'a' train {} } stages { id: 'b' after: 'a' after: 'a' train {} }");
  EXPECT_THAT(stages[1].needs(), ElementsAre("a"));
}

TEST(ReferencesTest, UnknownStagesNameTheNearest) {
  EXPECT_THAT(ErrorOf("stages { id: 'sft' train {} } stages { id: 'e' evaluate { model { stage: 'stf' } } }"),
              HasSubstr("stage \"e\": model.stage: \"stf\" is no stage of this job; did you mean \"sft\"?"));
  EXPECT_THAT(ErrorOf("stages { id: 'sft' after: 'x' train {} }"), HasSubstr("after: \"x\" is no stage"));
}

TEST(ReferencesTest, AStageNameInPlaceOfAModelSaysSo) {
  EXPECT_THAT(ErrorOf("stages { id: 'sft' train {} } stages { id: 'e' evaluate { model { base: 'sft' } } }"),
              HasSubstr("a stage has this name: write model: {stage: sft}"));
}

TEST(ReferencesTest, CirclesAreNamed) {
  EXPECT_THAT(ErrorOf("stages { id: 'a' after: 'b' train {} } stages { id: 'b' after: 'c' train {} } "
                      "stages { id: 'c' after: 'b' train {} }"),
              HasSubstr("in a circle (b needs c needs b)"));
  EXPECT_THAT(ErrorOf("stages { id: 'a' train { model { stage: 'a' } } }"),
              HasSubstr("in a circle (a needs a)"));
}

TEST(ReferencesTest, AnEvaluateStagePublishesNoModel) {
  EXPECT_THAT(ErrorOf("stages { id: 'e' evaluate {} } stages { id: 't' train { model { stage: 'e' } } }"),
              HasSubstr("model.stage: \"e\" publishes no model"));
}

TEST(ReferencesTest, AnAdapterBesideAnAdapterIsRefused) {
  EXPECT_THAT(ErrorOf("stages { id: 's' train {} } "
                      "stages { id: 'e' evaluate { model { stage: 's' } adapter { job: 'jobs/aaaa' } } }"),
              HasSubstr("adapter is set, but model: {stage: s} is an adapter already"));
}

}  // namespace
}  // namespace vernier::server
