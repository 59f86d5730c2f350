// What the YAML form accepts and writes. Errors: yaml_errors_test.cc.
#include "proto/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/file.h"
#include "google/protobuf/util/message_differencer.h"
#include "vernier/v1/job.pb.h"

namespace vernier {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::util::MessageDifferencer;
using testing::HasSubstr;
using v1::JobSpec;

JobSpec Parse(absl::string_view yaml) {
  JobSpec spec;
  const absl::Status status = ParseYaml(yaml, "job.yaml", spec);
  EXPECT_TRUE(status.ok()) << status;
  return spec;
}

TEST(ParseYamlTest, ShortFormsFillTheShorthandFields) {
  const JobSpec spec = Parse(R"(
version: 1
model: smollm2
data: {source: ./train.jsonl, validation: 5%, on_overlong: truncate}
train: {batch: 16, validate: 50, checkpoint: 20, publish: best}
)");
  EXPECT_EQ(spec.version(), 1);
  EXPECT_EQ(spec.model().base(), "smollm2");
  EXPECT_EQ(spec.data().source(), "./train.jsonl");
  EXPECT_EQ(spec.data().validation().from(), "5%");
  EXPECT_EQ(spec.data().on_overlong(), v1::ON_OVERLONG_TRUNCATE);
  EXPECT_EQ(spec.train().batch().rows(), 16);
  EXPECT_EQ(spec.train().validate().every_steps(), 50);
  EXPECT_EQ(spec.train().checkpoint().every_steps(), 20);
  EXPECT_EQ(spec.train().publish(), v1::PUBLISH_BEST);
}

TEST(ParseYamlTest, LongFormsNestAsTheProtoDoes) {
  const JobSpec spec = Parse(R"(
labels: {team: search, run: "7"}
stages:
  - id: sft
    train:
      tuning: {lora: {rank: 16, rank_by_module: {model.layers.0.self_attn.q_proj: 4}}}
      objective: {causal_lm: {loss_on: assistant}}
      optimizer: {adamw: {learning_rate: 2e-4}}
      schedule: {cosine: {}, warmup_ratio: 0.1}
      max_steps: 1e3
  - {id: judge, after: [sft], evaluate: {model: {stage: sft}, metrics: [loss, rouge_l]}}
)");
  EXPECT_EQ(spec.labels().at("run"), "7");
  ASSERT_EQ(spec.stages_size(), 2);
  const v1::TrainStage& train = spec.stages(0).train();
  EXPECT_EQ(train.tuning().lora().rank(), 16);
  EXPECT_EQ(train.tuning().lora().rank_by_module().at("model.layers.0.self_attn.q_proj"), 4);
  EXPECT_EQ(train.objective().causal_lm().loss_on(), v1::LOSS_ON_ASSISTANT);
  EXPECT_EQ(train.optimizer().adamw().learning_rate(), 2e-4);
  EXPECT_TRUE(train.schedule().has_cosine());
  EXPECT_EQ(train.max_steps(), 1000);
  EXPECT_EQ(spec.stages(1).evaluate().model().stage(), "sft");
  EXPECT_EQ(spec.stages(1).evaluate().metrics(1), "rouge_l");
}

TEST(ParseYamlTest, AnAbsentValueIsNotAZero) {
  const JobSpec spec = Parse("train: {tuning: {lora: {rank: 0}}}");
  EXPECT_TRUE(spec.train().tuning().lora().has_rank());
  EXPECT_FALSE(spec.train().tuning().lora().has_alpha());
}

TEST(ParseYamlTest, AnchorsAndCommentsWork) {
  const JobSpec spec = Parse(R"(
# two stages with one way of tuning
stages:
  - {id: a, train: {tuning: &small {lora: {rank: 4}}}}
  - {id: b, train: {tuning: *small}}
)");
  EXPECT_EQ(spec.stages(1).train().tuning().lora().rank(), 4);
}

TEST(ParseYamlTest, AnEmptyTextIsAnEmptyMessage) {
  EXPECT_TRUE(MessageDifferencer::Equals(Parse(""), JobSpec()));
  EXPECT_TRUE(MessageDifferencer::Equals(Parse("# nothing yet\n"), JobSpec()));
  EXPECT_TRUE(MessageDifferencer::Equals(Parse("{}"), JobSpec()));
}

TEST(ParseYamlTest, PlainNumbersAndWordsAreTextsWhereATextIsWanted) {
  EXPECT_EQ(Parse("name: 2024").name(), "2024");
  EXPECT_EQ(Parse("name: true").name(), "true");
  EXPECT_EQ(Parse("name: \"null\"").name(), "null");
}

// Design 0001 carries eight published methods; what is not built yet is a pure addition, listed here by name.
TEST(ParseYamlTest, TheJobsOfTheDesignParseButForFieldsToCome) {
  const std::set<std::string> to_come = {
      "mlm",   "sparse_mask", "classification", "merge",       "input_corruption",     "sweep",  "repeat",
      "pairs", "preference",  "rmsprop",        "contrastive", "crop_pairs",           "select", "generate",
      "simpo", "order",       "mezo",           "stage",       "prompt_classification"};
  const absl::StatusOr<std::string> design = ReadFile(VERNIER_SOURCE_DIR "/docs/design/0001-foundations.md");
  ASSERT_TRUE(design.ok()) << design.status();
  int num_jobs = 0, num_complete = 0;
  bool inside = false;
  std::string job;
  const auto finish = [&] {
    ++num_jobs;
    JobSpec spec;
    const absl::Status status = ParseYaml(job, "", spec);
    if (status.ok()) ++num_complete;
    for (absl::string_view error : absl::StrSplit(status.message(), '\n', absl::SkipEmpty())) {
      const std::vector<std::string> quoted = absl::StrSplit(error, '"');
      const bool unknown = absl::StrContains(error, "is not a field of");
      const bool placeholder = absl::StrContains(error, "${");  // filled in by `sweep`
      EXPECT_TRUE(placeholder || (unknown && to_come.contains(quoted.at(1)))) << error << "\n" << job;
    }
    job.clear();
  };
  for (absl::string_view line : absl::StrSplit(*design, '\n')) {
    const bool ends = inside && (line == "```" || line == "---");
    if (ends) finish();
    if (line == "```yaml") {
      inside = true;
    } else if (line == "```") {
      inside = false;
    } else if (inside && !ends) {
      absl::StrAppend(&job, line, "\n");
    }
  }
  EXPECT_EQ(num_jobs, 9);  // the shape of a job, and the eight
  EXPECT_GE(num_complete, 1);
}

// Sets every field to something; of each oneof the member whose turn it is.
void Fill(Message& message, int turn, int& counter) {
  const Descriptor* descriptor = message.GetDescriptor();
  const Reflection* reflection = message.GetReflection();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    if (const auto* oneof = field->real_containing_oneof();
        oneof != nullptr && field->index_in_oneof() != turn % oneof->field_count()) {
      continue;
    }
    ++counter;
    for (int copies = field->is_repeated() && !field->is_map() ? 2 : 1; copies > 0; --copies) {
      const bool add = field->is_repeated();
      switch (field->cpp_type()) {
        case FieldDescriptor::CPPTYPE_MESSAGE:
          Fill(*(add ? reflection->AddMessage(&message, field) : reflection->MutableMessage(&message, field)),
               turn, counter);
          break;
        case FieldDescriptor::CPPTYPE_STRING: {
          static const std::vector<std::string> texts = {"plain",
                                                         "true",
                                                         "5%",
                                                         "",
                                                         "two\nlines\t\"quoted\" \\",
                                                         "null",
                                                         "- x: {y",
                                                         "\xC3\xBC \xF0\x9F\x98\x80",
                                                         "0x1F",
                                                         "2024-01-01",
                                                         " spaces ",
                                                         "#no comment",
                                                         "~",
                                                         "\x01\x7F",
                                                         "\xE2\x80\xA8"};
          const std::string text = texts[counter % texts.size()];
          add ? reflection->AddString(&message, field, text) : reflection->SetString(&message, field, text);
          break;
        }
        case FieldDescriptor::CPPTYPE_INT32:
          add ? reflection->AddInt32(&message, field, -counter)
              : reflection->SetInt32(&message, field, counter);
          break;
        case FieldDescriptor::CPPTYPE_INT64:
          reflection->SetInt64(&message, field, (int64_t{1} << 62) + counter);
          break;
        case FieldDescriptor::CPPTYPE_UINT64:
          reflection->SetUInt64(&message, field, ~uint64_t{0} - counter);
          break;
        case FieldDescriptor::CPPTYPE_DOUBLE:
          reflection->SetDouble(&message, field, counter % 2 == 0 ? 1.0 / (counter + 2) : counter * 1e-7);
          break;
        case FieldDescriptor::CPPTYPE_BOOL:
          reflection->SetBool(&message, field, true);
          break;
        case FieldDescriptor::CPPTYPE_ENUM:
          reflection->SetEnumValue(&message, field, 1 + turn % (field->enum_type()->value_count() - 1));
          break;
        default:
          FAIL() << "add a case for " << field->full_name();
      }
    }
  }
}

TEST(ToYamlTest, ReadsBackToAnEqualMessageWhateverIsSet) {
  for (int turn = 0; turn < 15; ++turn) {
    JobSpec spec;
    int counter = turn;
    Fill(spec, turn, counter);
    ASSERT_GT(counter, 50);
    const std::string yaml = ToYaml(spec);
    JobSpec again;
    const absl::Status status = ParseYaml(yaml, "", again);
    ASSERT_TRUE(status.ok()) << status << "\n" << yaml;
    MessageDifferencer differencer;
    std::string difference;
    differencer.ReportDifferencesToString(&difference);
    EXPECT_TRUE(differencer.Compare(spec, again)) << difference << "\n" << yaml;
    EXPECT_EQ(ToYaml(again), yaml);
  }
}

TEST(ToYamlTest, TimesReadBack) {
  v1::Job job;
  job.mutable_create_time()->set_seconds(1'700'000'000);
  job.add_stages()->set_id("a");
  v1::Job again;
  ASSERT_TRUE(ParseYaml(ToYaml(job), "", again).ok()) << ToYaml(job);
  EXPECT_TRUE(MessageDifferencer::Equals(job, again));
}

TEST(ToYamlTest, WritesShortForms) {
  const JobSpec spec = Parse(R"(
model: smollm2
stages: [{id: sft, train: {batch: 8, tuning: {lora: {}}}}, {id: judge, evaluate: {metrics: [loss]}}]
)");
  EXPECT_EQ(ToYaml(spec), R"(model: smollm2
stages:
  - id: sft
    train:
      tuning:
        lora: {}
      batch: 8
  - id: judge
    evaluate:
      metrics: [loss]
)");
  EXPECT_EQ(ToYaml(JobSpec()), "{}\n");
}

TEST(SetFieldTest, SetsOneFieldByPath) {
  JobSpec spec = Parse("model: smollm2\ndata: {source: a, max_tokens: 64}\nstages: [{id: sft, train: {}}]");
  for (const char* assignment :
       {"model=other", "data=b", "stages.sft.train.tuning.lora.rank=16", "stages.0.train.epochs=2.5",
        "stages.sft.train.tuning.lora.rank_by_module.model.layers.0.q_proj=4", "labels.team=search",
        "stages.sft.train.batch={tokens: 512}", "stages.sft.after=[x, y]", "name="}) {
    const absl::Status status = SetField(assignment, spec);
    if (std::string(assignment) == "name=") {
      EXPECT_FALSE(status.ok());
      continue;
    }
    EXPECT_TRUE(status.ok()) << assignment << ": " << status;
  }
  EXPECT_EQ(spec.model().base(), "other");
  EXPECT_EQ(spec.data().source(), "b");
  EXPECT_EQ(spec.data().max_tokens(), 64);
  const v1::TrainStage& train = spec.stages(0).train();
  EXPECT_EQ(train.tuning().lora().rank(), 16);
  EXPECT_EQ(train.tuning().lora().rank_by_module().at("model.layers.0.q_proj"), 4);
  EXPECT_EQ(train.epochs(), 2.5);
  EXPECT_EQ(train.batch().tokens(), 512);
  EXPECT_EQ(spec.stages(0).after_size(), 2);
  EXPECT_EQ(spec.labels().at("team"), "search");
}

TEST(SetFieldTest, AnotherMemberOfAChoiceReplacesTheFirst) {
  JobSpec spec = Parse("train: {optimizer: {adamw: {learning_rate: 1}}}");
  ASSERT_TRUE(SetField("train.optimizer.sgd.learning_rate=0.5", spec).ok());
  EXPECT_FALSE(spec.train().optimizer().has_adamw());
  EXPECT_EQ(spec.train().optimizer().sgd().learning_rate(), 0.5);
}

TEST(SetFieldTest, AMapEntryIsReplacedNotRepeated) {
  JobSpec spec = Parse("labels: {a: x, b: y}");
  ASSERT_TRUE(SetField("labels.a=z", spec).ok());
  EXPECT_EQ(spec.labels_size(), 2);
  EXPECT_EQ(spec.labels().at("a"), "z");
}

TEST(JsonSchemaTest, DescribesEveryFieldAndBothFormsOfAShorthand) {
  const nlohmann::json schema = nlohmann::json::parse(JsonSchema(JobSpec::descriptor(), "Vernier job"));
  EXPECT_EQ(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
  EXPECT_EQ(schema["$ref"], "#/$defs/JobSpec");
  const nlohmann::json& defs = schema["$defs"];
  EXPECT_EQ(defs["JobSpec"]["properties"].size(), static_cast<size_t>(JobSpec::descriptor()->field_count()));
  EXPECT_EQ(defs["JobSpec"]["additionalProperties"], false);
  EXPECT_EQ(defs["ModelRef"]["anyOf"][0]["type"], "string");
  EXPECT_EQ(defs["ModelRef"]["anyOf"][1]["type"], "object");
  EXPECT_EQ(defs["Data"]["anyOf"][1]["properties"]["on_overlong"]["enum"],
            nlohmann::json({"refuse", "truncate", "drop", "split"}));
  EXPECT_EQ(defs["Lora"]["properties"]["rank_by_module"]["additionalProperties"]["type"], "integer");
  // Every reference has its definition.
  const std::string text = schema.dump();
  for (absl::string_view piece : absl::StrSplit(text, "#/$defs/")) {
    if (piece.data() == text.data()) continue;
    const std::string name(piece.substr(0, piece.find('"')));
    EXPECT_TRUE(defs.contains(name)) << name;
  }
}

}  // namespace
}  // namespace vernier
