#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "tests/unit/server_validate/fake_catalog.h"

namespace vernier::server {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

struct ErrorCase {
  std::string name;
  std::string text;  // beside model and data
  std::string want;  // a part of the one line
};

class FieldErrorTest : public testing::TestWithParam<ErrorCase> {};

TEST_P(FieldErrorTest, NamesWhereWhatAndWhatToDo) {
  const absl::StatusOr<Validated> got = Validate(std::string(kBasics) + GetParam().text);
  ASSERT_TRUE(absl::IsInvalidArgument(got.status())) << got.status();
  EXPECT_THAT(std::string(got.status().message()), HasSubstr(GetParam().want));
  EXPECT_THAT(std::vector<std::string>(absl::StrSplit(got.status().message(), '\n')), SizeIs(1))
      << got.status().message();
}

std::string Train(const std::string& body) { return "stages { id: 'sft' train { " + body + " } }"; }
std::string Export(const std::string& body) { return "stages { id: 'out' export { " + body + " } }"; }
std::string ExportOf(const std::string& train, const std::string& body) {
  return "stages { id: 'sft' train { " + train + " } } stages { id: 'out' export { model { stage: 'sft' } " +
         body + " } }";
}
std::string Evaluate(const std::string& body) { return "stages { id: 'judge' evaluate { " + body + " } }"; }

INSTANTIATE_TEST_SUITE_P(
    Cases, FieldErrorTest,
    testing::ValuesIn<ErrorCase>({
        {"Rank", Train("tuning { lora { rank: 0 } }"),
         "stage \"sft\": tuning.lora.rank = 0 is outside [1, 512]; use 8 or remove the field for the "
         "default"},
        {"RankAbove", Train("tuning { lora { rank: 513 } }"), "tuning.lora.rank = 513 is outside [1, 512]"},
        {"NegativeRate", Train("optimizer { adamw { learning_rate: -1 } }"),
         "optimizer.adamw.learning_rate = -1 is outside (0, 10]; use 0.0002 or remove"},
        {"RateOfZero", Train("optimizer { adamw { learning_rate: 0 } }"),
         "learning_rate = 0 is outside (0, 10]"},
        {"RateNotANumber", Train("optimizer { sgd { learning_rate: nan } }"),
         "optimizer.sgd.learning_rate = nan"},
        {"BetaOfOne", Train("optimizer { adamw { beta2: 1 } }"),
         "optimizer.adamw.beta2 = 1 is outside [0, 1)"},
        {"NesterovAlone", Train("optimizer { sgd { nesterov: true } }"),
         "nesterov = true needs momentum above 0"},
        {"Alpha", Train("tuning { lora { alpha: 0 } }"), "tuning.lora.alpha = 0 is outside (0, inf)"},
        {"InfiniteAlpha", Train("tuning { lora { alpha: inf } }"),
         "tuning.lora.alpha = inf is outside (0, inf)"},
        {"Dropout", Train("tuning { lora { dropout: 1 } }"), "tuning.lora.dropout = 1 is outside [0, 1)"},
        {"UnknownTarget", Train("tuning { lora { targets: 'q_prj' } }"),
         "tuning.lora.targets: \"q_prj\" is no linear layer of llama; did you mean \"q_proj\"?"},
        {"UnknownModule", Train("tuning { lora { rank_by_module { key: 'layers.0.foo' value: 4 } } }"),
         "tuning.lora.rank_by_module: \"layers.0.foo\" is no linear layer of llama"},
        {"RankOfAModule", Train("tuning { lora { rank_by_module { key: 'q_proj' value: 0 } } }"),
         "tuning.lora.rank_by_module.q_proj = 0 is outside [1, 512]"},
        {"EmptyTarget", Train("tuning { full { freeze: '' } }"), "tuning.full.freeze[0] is empty"},
        {"WarmupTwice", Train("schedule { warmup_steps: 1 warmup_ratio: 0.1 }"),
         "schedule.warmup_ratio is set beside warmup_steps"},
        {"MinRatio", Train("schedule { cosine { min_ratio: 1.5 } }"),
         "schedule.cosine.min_ratio = 1.5 is outside [0, 1]"},
        {"BatchOfNoRows", Train("batch { rows: 0 }"), "batch.rows = 0 is outside [1, 65536]; use 16"},
        {"BatchOfFewTokens", Train("batch { tokens: 10 }"), "batch.tokens = 10 is outside [64, 16777216]"},
        {"EpochsAndSteps", Train("epochs: 1 max_steps: 5"), "max_steps is set beside epochs"},
        {"NoSteps", Train("max_steps: 0"), "max_steps = 0 is outside [1, 100000000]"},
        {"CheckpointedLayers", Train("checkpointed_layers: 1025"),
         "checkpointed_layers = 1025 is outside [0, 1024]"},
        {"Shards", Train("virtual_shards: 3"), "virtual_shards = 3 is no power of two"},
        {"UnknownPrecision", Train("precision: 9"),
         "precision = 9 is not known to this server; known: auto, fp32, bf16"},
        {"ValidateWithoutRows", Train("validate { every_steps: 5 }"), "validate needs rows to validate on"},
        {"BestWithoutRows", Train("publish: PUBLISH_BEST"), "publish = best needs rows to judge on"},
        {"EarlyStoppingWithoutRows", Train("early_stopping {}"), "early_stopping needs rows to judge on"},
        {"Version", "version: 2", "version = 2 is not known"},
        {"Name", "name: 'a b'", "name = \"a b\": use at most 64 of"},
        {"LabelKey", "labels { key: '' value: 'x' }", "labels.: keys are 1 to 64 bytes"},
        {"Attempts", "max_attempts: 0", "max_attempts = 0 is outside [1, 100]; use 3"},
        {"TrainAndStages", Train("") + " train {}", "train is set beside stages"},
        {"StageId", "stages { id: 'A b' train {} }", "stages[0].id = \"A b\": use 1 to 40 of a-z 0-9 _ -"},
        {"StageTwice", Train("") + Train(""), "stages[1].id = \"sft\" is there twice"},
        {"StageWithoutKind", "stages { id: 'x' }", "stage \"x\": it says nothing to do"},
        {"MaxTokensTooFew", Train("data { source: 'chat' max_tokens: 7 }"),
         "data.max_tokens = 7 is outside [8, 1048576]"},
        {"MaxTokensAboveContext", Train("data { source: 'chat' max_tokens: 9000 }"),
         "data.max_tokens = 9000 is above the context of model \"smollm2\", 8192 tokens; use 8192"},
        {"MissingDataset", Train("data { source: 'chot' }"),
         "stage \"sft\": data.source: dataset \"chot\" is not known; did you mean \"chat\"?"},
        {"NoSource", Train("data {}"), "data has no source"},
        {"MissingModel", Train("model { base: 'smollm' }"),
         "stage \"sft\": model: model \"smollm\" is not known; did you mean \"smollm2\"?"},
        {"ShareOfAll", Train("data { source: 'chat' validation { from: '100%' } }"),
         "data.validation = \"100%\" is no share above 0% and below 100%"},
        {"ShareNotANumber", Train("data { source: 'chat' validation { from: 'x%' } }"),
         "data.validation = \"x%\""},
        {"MissingValidation", Train("data { source: 'chat' validation { from: 'valid' } }"),
         "dataset \"valid\" is not known"},
        {"EmptyValidation", Train("data { source: 'chat' validation { from: '' } }"),
         "data.validation.from is empty"},
        {"ColumnsField", Train("data { source: 'chat' columns { key: 'promt' value: 'x' } }"),
         "data.columns.promt is no field of a row; did you mean \"prompt\"?"},
        {"ColumnsEmpty", Train("data { source: 'chat' columns { key: 'prompt' value: '' } }"),
         "data.columns.prompt is no column's name"},
        {"Format", Train("data { source: 'chat' format: 'parket' }"),
         "data.format = \"parket\" is not known; did you mean \"parquet\"?"},
        {"MixBesideSource", Train("data { source: 'chat' mix { source: 'chat' } }"),
         "data.mix and source are both set"},
        {"MixWithoutSource", Train("data { mix { weight: 1 } }"), "data.mix[0].source is missing"},
        {"MixMissing", Train("data { mix { source: 'chat' } mix { source: 'chot' } }"),
         "data.mix[1].source: dataset \"chot\" is not known; did you mean \"chat\"?"},
        {"MixWeightZero", Train("data { mix { source: 'chat' weight: 0 } }"),
         "data.mix[0].weight = 0 is outside (0, 1000000]"},
        {"MixSomeWeights", Train("data { mix { source: 'chat' weight: 1 } mix { source: 'chat' } }"),
         "data.mix: 1 of 2 datasets have a weight; give one to each, or to none"},
        {"MixCapZero", Train("data { mix { source: 'chat' max_rows: 0 } }"),
         "data.mix[0].max_rows = 0 is outside"},
        {"MixMaxRows", Train("data { mix { source: 'chat' } max_rows: 5 }"),
         "data.max_rows does not go with mix"},
        {"MixNames", Train("data { mix { source: 'chat' name: 'a' } mix { source: 'chat' name: 'a' } }"),
         "data.mix[1].name = \"a\" is there twice"},
        {"MixOddName", Train("data { mix { source: 'chat' name: 'a b' } }"), "data.mix[0].name = \"a b\""},
        {"NearThreshold",
         Train("data { source: 'chat' deduplicate { kind: DUPLICATE_KIND_NEAR threshold: 1 } }"),
         "data.deduplicate.threshold = 1 is outside [0.5, 0.99]"},
        {"NearWords", Train("data { source: 'chat' deduplicate { ngram_words: 0 } }"),
         "data.deduplicate.ngram_words = 0 is outside [1, 32]"},
        {"ContaminationOfNothing", Train("data { source: 'chat' on_contamination: ON_CONTAMINATION_FAIL }"),
         "data.on_contamination is set, but there are no validation rows"},
        {"TemplateTime", Train("data { source: 'chat' template_time: 'today' }"),
         "data.template_time = \"today\" is no RFC 3339 time"},
        {"NoChatTemplate", Train("model { base: 'bare' }"),
         "data.chat_template is needed: dataset \"chat\" has chat messages and model \"bare\" has no chat "
         "template"},
        {"AnswersOfPlainText",
         Train("data { source: 'plain' } objective { causal_lm { loss_on: LOSS_ON_ASSISTANT } }"),
         "dataset \"plain\" is plain text without assistant turns"},
        {"ExpandedTurnsOfAll",
         Train(
             "data { source: 'chat' turns: TURNS_EXPAND } objective { causal_lm { loss_on: LOSS_ON_ALL } }"),
         "data.turns = expand contradicts objective.causal_lm.loss_on = all"},
        {"ExpandedTurnsOfTheLastOne",
         Train("data { source: 'chat' turns: TURNS_EXPAND } objective { causal_lm { loss_on: "
               "LOSS_ON_COMPLETION } }"),
         "data.turns = expand contradicts objective.causal_lm.loss_on = completion"},
        {"LastTurnOfAll",
         Train("data { source: 'chat' turns: TURNS_LAST } objective { causal_lm { loss_on: LOSS_ON_ALL } }"),
         "data.turns = last contradicts objective.causal_lm.loss_on = all"},
        {"MaskedReasoningOfPrompts",
         Train("data { source: 'chat' reasoning: REASONING_MASK } objective { causal_lm { loss_on: "
               "LOSS_ON_PROMPT } }"),
         "data.reasoning = mask contradicts objective.causal_lm.loss_on = prompt"},
        {"UnknownMetric", Evaluate("metrics: 'rogue_l'"), "metrics: \"rogue_l\" is not known; known: loss"},
        {"MetricTwice", Evaluate("metrics: 'loss' metrics: 'loss'"), "metrics: \"loss\" is there twice"},
        {"MetricsWithoutEnd", Evaluate("metrics: ['loss', 'loss', 'loss', 'loss', 'loss', 'loss']"),
         "metrics: 6 of them, and there are 5"},
        {"AfterWithoutEnd", "stages { id: 'sft' after: ['x', 'y'] train {} }",
         "after: 2 names are more than the job has stages (1)"},
        {"UnknownProfile", Export("job: 'jobs/aaaa' profiles: 'servin'"),
         "stage \"out\": profiles: \"servin\" is not known; known: peft, serving, merged, gguf; did you mean "
         "\"serving\"?"},
        {"ProfileTwice", Export("job: 'jobs/aaaa' profiles: ['peft', 'peft']"),
         "profiles: \"peft\" is there twice"},
        {"GgufForNothing", Export("job: 'jobs/aaaa' profiles: 'peft' gguf {}"),
         "gguf is set, but gguf is not among the profiles"},
        {"GgufType", Export("job: 'jobs/aaaa' profiles: 'gguf' gguf { type: 9 }"),
         "gguf.type = 9 is not known to this server; known: f32, f16, q8_0"},
        {"ExportThreads", Export("job: 'jobs/aaaa' threads: 0"), "threads = 0 is outside [1, 256]"},
        {"ExportOfNoJob", Export("job: 'jobs/aaab'"), "stage \"out\": job: job \"jobs/aaab\" is not known"},
        {"ExportOfTwoSources", Export("job: 'jobs/aaaa' adapter { job: 'jobs/aaaa' }"),
         "job is set beside model or adapter"},
        {"ExportOfNoModel", Export("model { base: 'smolm2' }"), "model: model \"smolm2\" is not known"},
        {"ExportOfNoStage", Export("model { stage: 'sft' }"), "model.stage: \"sft\" is no stage of this job"},
        {"AdapterOfWeights", ExportOf("tuning { full {} }", "profiles: 'serving'"),
         "profiles: serving holds an adapter, and stage \"sft\" has none, but whole weights; use merged or "
         "gguf"},
        {"AdapterOfABareModel", Export("profiles: 'peft'"),
         "profiles: peft holds an adapter, and model \"smollm2\" has none"},
        {"LoraFileOfWeights", Export("job: 'jobs/full' profiles: 'gguf' gguf { lora: true }"),
         "gguf.lora: a GGUF file of an adapter holds an adapter, and jobs/full stage \"train\" has none"},
        {"AdapterOnAnother", Export("job: 'jobs/stacked' profiles: 'peft'"),
         "peft cannot hold the adapter of jobs/aaaa stage \"train\", which lies on top of another one"},
        {"GgufOfAnotherFamily", Export("model { base: 'neox' } profiles: 'gguf'"),
         "gguf files of gpt_neox models are not written; written are those of gemma2"},
        {"DecodingForNothing", Evaluate("decoding {}"), "decoding is set, but no metric generates answers"},
        {"TemperatureBelowZero", Evaluate("metrics: 'rouge_l' decoding { temperature: -1 }"),
         "decoding.temperature = -1 is outside [0, 10]"},
        {"AnswersLongerThanTheContext", Evaluate("metrics: 'rouge_l' decoding { max_new_tokens: 8192 }"),
         "decoding.max_new_tokens = 8192 leaves no room for the prompt"},
        {"AnswersFromPlainText", Evaluate("data { source: 'plain' } metrics: 'rouge_l'"),
         "dataset \"plain\" is plain text without answers to compare with"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(FieldErrorsTest, EveryErrorIsReportedAtOnce) {
  const absl::StatusOr<Validated> got = Validate(
      R"(version: 3 max_attempts: 0 stages { id: "a" train { tuning { lora { rank: 0 } } epochs: -1 } }
                  stages { id: "b" evaluate { model { stage: "c" } data { source: "gone" } } })");
  ASSERT_FALSE(got.ok());
  const std::string message(got.status().message());
  for (const char* part :
       {"version = 3", "max_attempts = 0", "stage \"a\": model is missing", "stage \"a\": data has no source",
        "tuning.lora.rank = 0", "epochs = -1", "stage \"b\": model.stage: \"c\" is no stage"}) {
    EXPECT_THAT(message, HasSubstr(part));
  }
}

TEST(FieldErrorsTest, AHundredErrorsAreEnough) {
  std::string text = kBasics;
  for (int i = 0; i < 256; ++i) text += "stages { id: 's" + std::to_string(i) + "' train { max_steps: 0 } }";
  const absl::StatusOr<Validated> got = Validate(text);
  ASSERT_FALSE(got.ok());
  EXPECT_THAT(std::string(got.status().message()), HasSubstr("and 156 more"));
}

// Of every name that is unknown the nearest is looked for: not of tens of thousands.
TEST(FieldErrorsTest, AJobThatIsWrongEverywhereIsRefusedInNoTime) {
  std::string text = kBasics;
  for (int i = 0; i < 256; ++i) {
    const std::string id(37, 'a' + i % 26);
    absl::StrAppend(&text, "stages { id: '", id, i, "' train {} ");
    for (int k = 0; k < 256; ++k) absl::StrAppend(&text, "after: '", id, 1000 + k, "' ");
    absl::StrAppend(&text, "}");
  }
  const absl::Time start = absl::Now();
  EXPECT_TRUE(absl::IsInvalidArgument(Validate(text).status()));
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
}

TEST(FieldErrorsTest, TooManyStagesAreRefusedBeforeTheyAreLookedAt) {
  std::string text = kBasics;
  for (int i = 0; i < 257; ++i) text += "stages { id: 's" + std::to_string(i) + "' train {} }";
  EXPECT_THAT(std::string(Validate(text).status().message()), HasSubstr("stages: 257 are more than 256"));
}

TEST(FieldErrorsTest, AHugeTemplateInEveryStageIsRefused) {
  v1::JobSpec spec = SpecOf(kBasics);
  spec.mutable_data()->set_chat_template(std::string(1 << 20, 'x'));
  for (int i = 0; i < 5; ++i) {
    spec.add_stages()->set_id("s" + std::to_string(i));
    spec.mutable_stages(i)->mutable_train();
  }
  const absl::Status status = ValidateSpec(spec, FakeCatalog(), int64_t{4} << 20, kSubmitTime).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("more than 4"));
}

TEST(FieldErrorsTest, AFieldOfANewerClientIsNotIgnored) {
  v1::JobSpec spec = SpecOf(std::string(kBasics) + Train(""));
  v1::TrainStage& train = *spec.mutable_stages(0)->mutable_train();
  train.GetReflection()->MutableUnknownFields(&train)->AddVarint(999, 1);
  const absl::Status status = ValidateSpec(spec, FakeCatalog(), int64_t{4} << 20, kSubmitTime).status();
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("stages[0].train: field number 999 is not known to this server"));
}

TEST(FieldErrorsTest, AModuleNameThatIsTooLong) {
  const std::string name(257, 'q');
  EXPECT_THAT(std::string(Validate(std::string(kBasics) + Train("tuning { lora { rank_by_module { key: '" +
                                                                name + "' value: 4 } } }"))
                              .status()
                              .message()),
              HasSubstr("tuning.lora.rank_by_module: a module's name has more than 256 bytes"));
}

TEST(FieldErrorsTest, ALabelTooMany) {
  v1::JobSpec spec = SpecOf(kBasics);
  for (int i = 0; i < 17; ++i) (*spec.mutable_labels())["k" + std::to_string(i)] = "v";
  EXPECT_THAT(
      std::string(ValidateSpec(spec, FakeCatalog(), int64_t{4} << 20, kSubmitTime).status().message()),
      HasSubstr("17 labels are more than 16"));
}

}  // namespace
}  // namespace vernier::server
