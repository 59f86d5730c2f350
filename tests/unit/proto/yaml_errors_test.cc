// What the YAML form refuses, and how it says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/util/message_differencer.h"
#include "proto/yaml.h"
#include "vernier/v1/job.pb.h"

namespace vernier {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;
using v1::JobSpec;

absl::Status Parse(absl::string_view yaml, absl::string_view source = "") {
  JobSpec spec;
  return ParseYaml(yaml, source, spec);
}

struct ErrorCase {
  std::string name;
  std::string yaml;
  std::string message;  // whole text of the error
};

class YamlErrorTest : public testing::TestWithParam<ErrorCase> {};

TEST_P(YamlErrorTest, NamesPathLineAndWhatToDo) {
  const absl::Status status = Parse(GetParam().yaml);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(status.message()), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, YamlErrorTest,
    testing::ValuesIn<ErrorCase>({
        {"UnknownFieldWithANearName", "model: m\ntrain:\n  tuning:\n    lora: {rnak: 4}\n",
         "train.tuning.lora.rnak (line 4): \"rnak\" is not a field of Lora; did you mean \"rank\"?"},
        {"UnknownFieldFarFromAll", "train: {tuning: {zzzzzzzz: {}}}",
         "train.tuning.zzzzzzzz (line 1): \"zzzzzzzz\" is not a field of Tuning; known: lora, full"},
        {"CamelCaseIsNotTheForm", "train: {maxSteps: 3}",
         "train.maxSteps (line 1): \"maxSteps\" is not a field of TrainStage; did you mean \"max_steps\"?"},
        {"NotAWholeNumber", "train:\n  max_steps: 1.5\n",
         "train.max_steps (line 2): \"1.5\" is not a whole number"},
        {"OutsideTheType", "version: 3000000000",
         "version (line 1): \"3000000000\" is outside [-2147483648, 2147483647]"},
        {"NegativeSeed", "seed: -1", "seed (line 1): \"-1\" is outside [0, 18446744073709551615]"},
        {"NotANumber", "train: {epochs: many}", "train.epochs (line 1): \"many\" is not a number"},
        {"NotABool", "train: {tuning: {lora: {rslora: yes}}}",
         "train.tuning.lora.rslora (line 1): \"yes\" is not true or false"},
        {"UnknownEnum", "data: {on_overlong: truncat}",
         "data.on_overlong (line 1): \"truncat\" is none of refuse, truncate, drop, split; did you mean "
         "\"truncate\"?"},
        {"EnumWithPrefix", "data: {turns: TURNS_ALL}",
         "data.turns (line 1): \"TURNS_ALL\" is none of all, last, expand"},
        {"UnspecifiedIsNotWritten", "data: {turns: unspecified}",
         "data.turns (line 1): \"unspecified\" is none of all, last, expand"},
        {"TwoMembersOfAChoice", "train:\n  tuning:\n    lora: {}\n    full: {}\n",
         "train.tuning.full (line 4): only one of lora and full can be set; remove one"},
        {"WrittenTwice", "seed: 1\nname: a\nseed: 2\n",
         "seed (line 3): is written twice (first on line 1); remove one"},
        {"LabelWrittenTwice", "labels:\n  a: x\n  a: y\n",
         "labels[\"a\"] (line 3): is written twice (first on line 2); remove one"},
        {"NoValue", "train:\n  tuning:\n    lora:\n",
         "train.tuning.lora (line 3): has no value; write {} for all defaults or remove the line"},
        {"NoPlainValue", "name: ~", "name (line 1): has no value; write one or remove the line"},
        {"PlainValueForFields", "train: fast",
         "train (line 1): expected fields of TrainStage (name: value), found the plain value \"fast\""},
        {"ListForFields", "train: [a]",
         "train (line 1): expected fields of TrainStage (name: value), found a list"},
        {"FieldsForPlainValue", "name: {a: b}", "name (line 1): expected a text, found fields"},
        {"PlainValueForList", "stages:\n- {id: a, after: b, train: {}}",
         "stages[0].after (line 2): expected a list of values, [a text, ...]"},
        {"ListItemWithoutValue", "stages:\n- {id: a, train: {}}\n- ~\n",
         "stages[1] (line 3): expected fields of Stage (name: value), found nothing; write {} for all "
         "defaults"},
        {"NotAMap", "- a\n- b\n", "(line 1): expected fields of JobSpec (name: value), found a list"},
        {"Tag", "name: !!python/object x",
         "(line 1): tag \"tag:yaml.org,2002:python/object\" is not used here; remove it"},
        {"SecondDocument", "name: a\n---\nname: b\n",
         "(line 2): a second document starts here; write one job a file"},
        {"AliasInItself", "labels: &a {b: *a}",
         "(line 1): this alias stands inside its own anchor; write the value out"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(YamlErrorsTest, AllAreReportedAtOnceWithTheSource) {
  const absl::Status status = Parse("modle: m\ntrain:\n  max_steps: x\n  batch: {rows: -}\n", "job.yaml");
  const std::vector<std::string> lines = absl::StrSplit(status.message(), '\n');
  EXPECT_THAT(lines, ElementsAre(StartsWith("job.yaml: modle (line 1): "),
                                 StartsWith("job.yaml: train.max_steps (line 3): "),
                                 StartsWith("job.yaml: train.batch.rows (line 4): ")));
}

TEST(YamlErrorsTest, AreCutAfterAHundred) {
  std::string yaml;
  for (int i = 0; i < 250; ++i) absl::StrAppend(&yaml, "unknown_", i, ": 1\n");
  const absl::Status status = Parse(yaml);
  const std::vector<std::string> lines = absl::StrSplit(status.message(), '\n');
  ASSERT_EQ(lines.size(), 101u);
  EXPECT_EQ(lines.back(), "and 150 more errors");
}

TEST(YamlErrorsTest, BrokenYamlNamesItsLine) {
  const absl::Status status = Parse("name: a\ntrain: {\n", "job.yaml");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), StartsWith("job.yaml: (line "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("is not YAML: "));
}

TEST(YamlErrorsTest, InvalidUtf8NamesItsLine) {
  EXPECT_EQ(std::string(Parse("name: a\n# \xff\n").message()),
            "(line 2): is not valid UTF-8; save the file as UTF-8");
}

TEST(YamlErrorsTest, MoreThanFourMebibytesAreRefused) {
  const absl::Status status = Parse(std::string((4 << 20) + 1, '#'), "job.yaml");
  EXPECT_EQ(std::string(status.message()), "job.yaml: has 4.0 MiB, more than the limit of 4.0 MiB");
}

TEST(YamlErrorsTest, AliasesThatMultiplyAreRefused) {
  std::string lists = "stages:\n- &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) {
    absl::StrAppend(&lists, "- &a", i, " [");
    for (int k = 0; k < 10; ++k) absl::StrAppend(&lists, k > 0 ? ", " : "", "*a", i - 1);
    absl::StrAppend(&lists, "]\n");
  }
  const absl::Status status = Parse(lists);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("grows past 4.0 MiB once aliases are written out"));
}

TEST(YamlErrorsTest, DeepNestingIsRefused) {
  EXPECT_THAT(std::string(Parse(absl::StrCat("labels: ", std::string(100'000, '['))).message()),
              HasSubstr("nested deeper than 64 levels"));
}

TEST(SetFieldErrorsTest, NameThePathAndChangeNothing) {
  JobSpec spec;
  ASSERT_TRUE(SetField("model=m", spec).ok());
  const JobSpec before = spec;
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"train.tuning.lora.rnak=1",
       "train.tuning.lora.rnak: \"rnak\" is not a field of Lora; did you mean \"rank\"?"},
      {"train.tuning.lora.rank=x", "train.tuning.lora.rank: \"x\" is not a whole number"},
      {"stages.sft.id=x",
       "stages.sft.id: there is no \"sft\" in stages, which has 0 items; name one by its id or its position "
       "from 0"},
      {"name.first=x", "name.first: \"name\" has no fields of its own; set name=..."},
      {"name", "\"name\" is no assignment; write it as train.tuning.lora.rank=16"},
      {"=x", "\"=x\" is no assignment; write it as train.tuning.lora.rank=16"},
      {"name={", "name: (line 1): is not YAML: end of map flow not found"},
  };
  for (const auto& [assignment, message] : cases) {
    const absl::Status status = SetField(assignment, spec);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << assignment;
    EXPECT_EQ(std::string(status.message()), message);
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(spec, before)) << assignment;
  }
}

}  // namespace
}  // namespace vernier
