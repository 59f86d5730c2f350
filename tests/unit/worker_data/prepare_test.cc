// Masks, policies, splits, and the prepared files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/unit/worker_data/fakes.h"
#include "worker/data/check.h"
#include "worker/data/policies.h"
#include "worker/data/prepare_task.h"
#include "worker/data/prepared_data.h"
#include "worker/data/prepared_file.h"
#include "worker/data/preview.h"

namespace vernier::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kChat[] =
    R"({"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"one","weight":0.5},{"role":"user","content":"r"},{"role":"assistant","content":"two"}]})";

std::string Text(const std::string& text) { return "{\"text\":\"" + text + "\"}\n"; }

// The text of trained tokens, and of the rest as dots.
std::string Mask(const EncodedRow& row) {
  std::string mask;
  for (size_t t = 0; t < row.ids.size(); ++t) {
    mask += row.weights[t] == 0 ? '.' : row.ids[t] < 256 ? static_cast<char>(row.ids[t]) : '$';
  }
  return mask;
}

EncodedRow Encode(const char* line, EncodeOptions options, std::optional<int32_t> bos = std::nullopt) {
  ByteCodec codec;
  codec.bos = bos;
  const auto row = ParseRow(line);
  EXPECT_TRUE(row.ok()) << row.status();
  const auto encoded = EncodeRow(*row, options, codec);
  EXPECT_TRUE(encoded.ok()) << encoded.status();
  return *encoded;
}

TEST(EncodeRowTest, AssistantTurnsAreTrainedThroughTheirEnd) {
  const EncodedRow row = Encode(kChat, {});
  //                      <system>s|<user>q|<assistant>one|<user>r|<assistant>two|
  EXPECT_EQ(Mask(row),
            "..........................."
            "..one|"
            "...................two|");
  EXPECT_EQ(row.weights[29], 0.5F);
  EXPECT_EQ(row.weights.back(), 1.0F);
  EXPECT_EQ(row.prompt_length, static_cast<int64_t>(row.ids.size()) - 4);
}

TEST(EncodeRowTest, LastTurnOnly) {
  for (const EncodeOptions& options :
       {EncodeOptions{.loss_on = v1::LOSS_ON_COMPLETION}, EncodeOptions{.turns = v1::TURNS_LAST}}) {
    EXPECT_EQ(Encode(kChat, options).num_trained(), 4);
  }
}

TEST(EncodeRowTest, AllTrainsEveryTokenButTheFirstAndKeepsWeights) {
  const EncodedRow row = Encode(kChat, {.loss_on = v1::LOSS_ON_ALL});
  EXPECT_EQ(row.num_trained(), static_cast<int64_t>(row.ids.size()) - 1);
  EXPECT_EQ(row.weights[0], 0.0F);
  EXPECT_EQ(row.weights[1], 1.0F);
  EXPECT_EQ(row.weights[29], 0.5F);
}

TEST(EncodeRowTest, CompletionAndEndAreTrained) {
  const EncodedRow row = Encode(R"({"prompt":"ab","completion":"cd"})", {});
  EXPECT_EQ(Mask(row), "..cd$");
  EXPECT_EQ(row.prompt_length, 2);
  EXPECT_EQ(Mask(Encode(R"({"prompt":"ab","completion":"cd"})", {.loss_on = v1::LOSS_ON_ALL})), ".bcd$");
  const EncodedRow with_bos = Encode(R"({"prompt":"ab","completion":"cd"})", {}, ByteCodec::kBos);
  EXPECT_EQ(Mask(with_bos), "...cd$");
  EXPECT_EQ(with_bos.prompt_length, 3);
}

TEST(EncodeRowTest, TextTrainsAllButTheFirst) {
  EXPECT_EQ(Mask(Encode(R"({"text":"abc"})", {})), ".bc$");
  EXPECT_EQ(Mask(Encode(R"({"text":"abc"})", {}, ByteCodec::kBos)), ".abc$");
  EXPECT_EQ(Encode(R"({"text":"abc"})", {}).prompt_length, 1);
}

TEST(EncodeRowTest, ContradictingOptionsAreNamed) {
  EXPECT_THAT(std::string(CheckEncodeOptions({.loss_on = v1::LOSS_ON_ASSISTANT}, RowFormat::kText).message()),
              HasSubstr("objective.causal_lm.loss_on"));
  EXPECT_THAT(std::string(CheckEncodeOptions({.loss_on = v1::LOSS_ON_ALL, .turns = v1::TURNS_LAST},
                                             RowFormat::kMessages)
                              .message()),
              HasSubstr("data.turns: last contradicts"));
}

EncodedRow RowOf(std::vector<float> weights) {
  EncodedRow row;
  for (size_t i = 0; i < weights.size(); ++i) row.ids.push_back(static_cast<int32_t>(i));
  row.weights = std::move(weights);
  row.prompt_length = 5;
  return row;
}

TEST(CutRowTest, EachPolicyCountsWhatItLoses) {
  const EncodedRow row = RowOf({0, 0, 0, 0, 0, 1, 1, 1, 1, 1});
  const Cut split = CutRow(row, 4, v1::ON_OVERLONG_SPLIT);
  ASSERT_EQ(split.pieces.size(), 2u);  // the first piece has no trained token
  EXPECT_EQ(split.tokens_lost, 4);
  EXPECT_THAT(split.pieces[0].ids, ElementsAre(4, 5, 6, 7));
  EXPECT_THAT(split.pieces[0].weights, ElementsAre(0, 1, 1, 1));
  EXPECT_EQ(split.pieces[0].prompt_length, 1);
  EXPECT_THAT(split.pieces[1].weights, ElementsAre(0, 1)) << "nothing stands before the first token";
  const Cut truncated = CutRow(row, 7, v1::ON_OVERLONG_TRUNCATE);
  ASSERT_EQ(truncated.pieces.size(), 1u);
  EXPECT_EQ(truncated.tokens_lost, 3);
  EXPECT_EQ(truncated.pieces[0].prompt_length, 5);
  EXPECT_TRUE(CutRow(row, 4, v1::ON_OVERLONG_TRUNCATE).pieces.empty());
  EXPECT_EQ(CutRow(row, 4, v1::ON_OVERLONG_DROP).tokens_lost, 10);
  EXPECT_EQ(CutRow(row, 10, v1::ON_OVERLONG_DROP).pieces.size(), 1u);
}

absl::StatusOr<PreparedSet> Prepare(const std::string& file, PrepareOptions options,
                                    const std::string* validation = nullptr) {
  const ByteCodec codec;
  if (options.max_tokens == 0) options.max_tokens = 1000;
  auto train = CreateSource("jsonl", ReadFromMemory(file));
  PrepareInputs inputs;
  inputs.train = train->get();
  std::unique_ptr<Source> other;
  if (validation != nullptr) {
    other = *CreateSource("jsonl", ReadFromMemory(*validation));
    inputs.validation = other.get();
  }
  return PrepareRows(inputs, options, codec, nullptr);
}

struct RefusalCase {
  std::string name, file;
  std::vector<std::string> wants;
  PrepareOptions options = {};
};
void PrintTo(const RefusalCase& c, std::ostream* out) { *out << c.name; }
class RefusalTest : public testing::TestWithParam<RefusalCase> {};

TEST_P(RefusalTest, EndsWithAMessageThatNamesLinesAndSettings) {
  const auto set = Prepare(GetParam().file, GetParam().options);
  ASSERT_EQ(set.status().code(), absl::StatusCode::kInvalidArgument);
  for (const std::string& want : GetParam().wants)
    EXPECT_THAT(std::string(set.status().message()), HasSubstr(want));
}

std::string ManyBad() {
  std::string file = Text("good");
  for (int i = 0; i < 30; ++i) file += "{broken\n";
  return file;
}

INSTANTIATE_TEST_SUITE_P(
    Cases, RefusalTest,
    testing::ValuesIn<RefusalCase>({
        {"EmptyFile", "", {"the dataset has no rows"}, {}},
        {"BlankFile", "\n\r\n", {"the dataset has no rows"}, {}},
        {"BrokenLine",
         Text("a") + "\n{\"text\": x}\n",
         {"1 of 2 rows are bad", "line 3: broken JSON at column 10", "data.on_bad_row: drop"},
         {}},
        {"ManyBadRows", ManyBad(), {"30 of 31 rows", "line 2: ", "line 21: ", "... and 10 more"}, {}},
        {"DuplicateIds",
         "{\"text\":\"a\",\"id\":1}\n{\"text\":\"b\",\"id\":1}\n",
         {"line 2: duplicate id 1: line 1 has it too"},
         {}},
        {"MixedFormats",
         Text("a") + "{\"prompt\":\"a\",\"completion\":\"b\"}\n",
         {"line 2: mixed formats"},
         {}},
        {"NoAssistant",
         R"({"messages":[{"role":"user","content":"a"}]})",
         {"line 1: 0 trained tokens", "no assistant message"},
         {}},
        {"AllWeightsZero",
         R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","weight":0}]})",
         {"0 trained tokens", "weight 0"},
         {}},
        {"TemplateRefuses",
         R"({"messages":[{"role":"user","content":"REFUSE"},{"role":"assistant","content":"b"}]})",
         {"line 1: the template refuses this row"},
         {}},
        {"TenMegabyteRow",
         Text("a") + Text(std::string(10 << 20, 'x')),
         {"line 2: the row is 10.0 MiB; the limit is 8.0 MiB"},
         {}},
        {"Overlong",
         Text("a") + Text("abcdefghijkl"),
         {"1 of 2 rows are longer than max_tokens = 8", "line 2: 13 tokens",
          "truncate (loses 5 tokens), split (loses 0) or drop (loses 13)", "The longest row has 13"},
         {.max_tokens = 8}},
        {"AllDropped", "{broken\n", {"no row is left to train on"}, {.on_bad_row = v1::ON_BAD_ROW_DROP}},
        {"NoValidationRow", Text("a"), {"held out none"}, {.validation_fraction = 1e-9}},
        {"LossOnAssistantOfText",
         Text("a"),
         {"objective.causal_lm.loss_on"},
         {.encode = {.loss_on = v1::LOSS_ON_ASSISTANT}}},
    }),
    [](const auto& info) { return info.param.name; });

TEST(PrepareRowsTest, DropPoliciesCountWhatGoes) {
  const auto set =
      Prepare(Text("a") + "{broken\n" + Text("abcdefghijkl"),
              {.max_tokens = 8, .on_overlong = v1::ON_OVERLONG_DROP, .on_bad_row = v1::ON_BAD_ROW_DROP});
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->report.num_rows(), 1);
  EXPECT_EQ(set->report.num_bad_rows(), 1);
  EXPECT_EQ(set->report.num_overlong_rows(), 1);
  EXPECT_EQ(set->report.num_dropped_rows(), 2);
  EXPECT_EQ(set->report.tokens_lost(), 13);
  ASSERT_EQ(set->report.problems_size(), 2);
  EXPECT_EQ(set->report.problems(0).line(), 2);
  EXPECT_EQ(set->report.problems(1).line(), 3);
}

TEST(PrepareRowsTest, RowWithoutTrainedTokenAfterTruncationIsBad) {
  const std::string row = R"({"prompt":"aaaaaaaaaaaa","completion":"b"})";
  const auto set = Prepare(row, {.max_tokens = 8, .on_overlong = v1::ON_OVERLONG_TRUNCATE});
  EXPECT_THAT(std::string(set.status().message()),
              HasSubstr("line 1: 0 trained tokens in the first 8 of 14"));
}

std::string ManyTexts(int count) {
  std::string file;
  for (int i = 0; i < count; ++i) file += Text(absl::StrCat("row ", i));
  return file;
}

TEST(PrepareRowsTest, ThreadsChangeNothing) {
  const std::string file = ManyTexts(3000);
  const auto one = Prepare(file, {.validation_fraction = 0.1, .threads = 1});
  const auto four = Prepare(file, {.validation_fraction = 0.1, .threads = 4});
  ASSERT_TRUE(one.ok() && four.ok());
  EXPECT_EQ(EncodePreparedFile(one->train), EncodePreparedFile(four->train));
  EXPECT_EQ(EncodePreparedFile(one->validation), EncodePreparedFile(four->validation));
  EXPECT_EQ(one->report.SerializeAsString(), four->report.SerializeAsString());
}

TEST(PrepareRowsTest, RowsStayOnTheirSideWhenOthersComeAndGo) {
  const auto few = Prepare(ManyTexts(500), {.validation_fraction = 0.1});
  const auto many = Prepare(ManyTexts(1000), {.validation_fraction = 0.1});
  ASSERT_TRUE(few.ok() && many.ok());
  EXPECT_NEAR(static_cast<double>(many->validation.num_rows()), 100.0, 40.0);
  EXPECT_EQ(many->validation.num_rows() + many->train.num_rows(), 1000);
  const std::set<int64_t> later(many->validation.lines.begin(), many->validation.lines.end());
  for (const int64_t line : few->validation.lines) EXPECT_TRUE(later.contains(line)) << line;
  for (const int64_t line : few->train.lines) EXPECT_FALSE(later.contains(line)) << line;
}

TEST(PrepareRowsTest, ValidationDatasetAndRowLimits) {
  const std::string validation = ManyTexts(7);
  const auto set = Prepare(ManyTexts(50), {.max_rows = 10, .max_validation_rows = 3}, &validation);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->train.num_rows(), 10);
  EXPECT_EQ(set->validation.num_rows(), 3);
  EXPECT_THAT(set->report.notes(), testing::Contains(HasSubstr("rows after line 10 are not used")));
  const std::string pairs = R"({"prompt":"a","completion":"b"})";
  EXPECT_THAT(std::string(Prepare(ManyTexts(5), {}, &pairs).status().message()),
              HasSubstr("validation line 1: this row is prompt_completion, the training rows are text"));
}

TEST(PrepareRowsTest, StopEndsWithCancelled) {
  const ByteCodec codec;
  const std::string file = ManyTexts(5);
  auto source = CreateSource("jsonl", ReadFromMemory(file));
  PrepareInputs inputs;
  inputs.train = source->get();
  PrepareOptions options;
  options.max_tokens = 100;
  const auto set = PrepareRows(inputs, options, codec, [](int64_t, int64_t) { return false; });
  EXPECT_EQ(set.status().code(), absl::StatusCode::kCancelled);
}

TEST(PreparedFileTest, DamageIsDataLossNotACrash) {
  const auto set = Prepare(ManyTexts(3), {});
  ASSERT_TRUE(set.ok());
  const std::string good = EncodePreparedFile(set->train);
  const auto parse = [](const std::string& bytes) {
    std::vector<int64_t> aligned(bytes.size() / 8 + 1);
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(aligned.data()));
    return ParsePreparedFile({reinterpret_cast<const char*>(aligned.data()), bytes.size()}).status();
  };
  ASSERT_TRUE(parse(good).ok()) << parse(good);
  for (size_t size = 0; size < good.size(); size += 3) {
    EXPECT_EQ(parse(good.substr(0, size)).code(), absl::StatusCode::kDataLoss) << size;
  }
  int refused = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x80);
    const absl::Status status = parse(bad);
    if (!status.ok()) {
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << at;
      ++refused;
    }
  }
  EXPECT_GT(refused, 100);
}

class RunPrepareTest : public testing::Test {
 protected:
  RunPrepareTest() {
    blobs_.objects["d"] = ManyTexts(40);
    blobs_.objects["m/tokenizer.json"] = "{}";
    task_.set_tenant("t1");
    task_.set_threads(2);
    v1::PrepareTask& prepare = *task_.mutable_prepare();
    prepare.set_dataset_key("d");
    prepare.set_model_key("m");
    prepare.set_context_length(512);
    prepare.set_validation_fraction(0.2);
  }
  absl::StatusOr<v1::PreparedData> Run(const std::atomic<bool>* stop = nullptr) {
    const CodecFactory factory = [](const CodecFiles& files,
                                    std::string* text) -> absl::StatusOr<std::unique_ptr<Codec>> {
      *text = files.chat_template_override.value_or("own");
      return std::make_unique<ByteCodec>();
    };
    return RunPrepareOn(task_, blobs_, factory, nullptr, stop);
  }
  MemoryBlobs blobs_;
  v1::Task task_;
};

TEST_F(RunPrepareTest, WritesRowsThatReadBackAndCaches) {
  const auto first = Run();
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(absl::StartsWith(first->key(), "tenants/t1/prepared/")) << first->key();
  EXPECT_FALSE(first->from_cache());
  const auto train = PreparedRows::Open(blobs_, first->key(), Split::kTrain);
  const auto validation = PreparedRows::Open(blobs_, first->key(), Split::kValidation);
  ASSERT_TRUE(train.ok()) << train.status();
  ASSERT_TRUE(validation.ok()) << validation.status();
  EXPECT_EQ(train->num_rows() + validation->num_rows(), 40);
  EXPECT_EQ(train->num_rows(), first->report().num_rows());
  EXPECT_EQ(train->num_tokens(), first->report().num_tokens());
  EXPECT_EQ(train->ids(0).back(), ByteCodec::kEos);
  EXPECT_EQ(train->weights(0)[0], 0.0F);
  EXPECT_EQ(train->weight_sum(0), static_cast<double>(train->length(0) - 1));
  const int puts = blobs_.num_puts;
  const auto second = Run();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_TRUE(second->from_cache());
  EXPECT_EQ(second->key(), first->key());
  EXPECT_EQ(second->report().SerializeAsString(), first->report().SerializeAsString());
  EXPECT_EQ(blobs_.num_puts, puts);
}

TEST_F(RunPrepareTest, WhateverChangesTheRowsChangesTheKeyAndNothingElseDoes) {
  const std::string key = Run()->key();
  task_.set_threads(7);
  task_.mutable_prepare()->mutable_data()->set_template_time("2024-01-01T00:00:00Z");
  EXPECT_EQ(Run()->key(), key);
  std::set<std::string> keys = {key};
  task_.mutable_prepare()->mutable_data()->set_chat_template("{{ strftime_now('%Y') }}");
  EXPECT_TRUE(keys.insert(Run()->key()).second);
  task_.mutable_prepare()->mutable_data()->set_template_time("2025-01-01T00:00:00Z");
  EXPECT_TRUE(keys.insert(Run()->key()).second);
  task_.mutable_prepare()->mutable_data()->set_max_rows(5);
  EXPECT_TRUE(keys.insert(Run()->key()).second);
  blobs_.objects["m/tokenizer_config.json"] = "{\"a\":1}";
  EXPECT_TRUE(keys.insert(Run()->key()).second);
  blobs_.objects["d"] += Text("more");
  EXPECT_TRUE(keys.insert(Run()->key()).second);
}

TEST_F(RunPrepareTest, DamagedFilesAreDataLossAndMadeAgain) {
  const std::string key = Run()->key();
  std::string& file = blobs_.objects[key + "/train.safetensors"];
  const std::string good = file;
  file.back() = static_cast<char>(file.back() ^ 1);
  const auto rows = PreparedRows::Open(blobs_, key, Split::kTrain);
  EXPECT_EQ(rows.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(rows.status().message()), HasSubstr("train.safetensors: size or digest differs"));
  blobs_.objects.erase(key + "/train.safetensors");
  const auto again = Run();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(again->from_cache());
  EXPECT_EQ(blobs_.objects[key + "/train.safetensors"], good);
}

TEST_F(RunPrepareTest, NothingIsPublishedWhenItStopsOrFails) {
  const std::atomic<bool> stop = true;
  EXPECT_EQ(Run(&stop).status().code(), absl::StatusCode::kCancelled);
  blobs_.fail_put = "report.json";
  EXPECT_EQ(Run().status().code(), absl::StatusCode::kResourceExhausted);
  for (const auto& [key, bytes] : blobs_.objects) EXPECT_FALSE(absl::EndsWith(key, "manifest.json")) << key;
  blobs_.fail_put = "";
  EXPECT_TRUE(Run().ok());
}

TEST_F(RunPrepareTest, MissingInputsAndBadOptionsAreNamed) {
  v1::Task good = task_;
  task_.mutable_prepare()->set_dataset_key("gone");
  EXPECT_EQ(Run().status().code(), absl::StatusCode::kNotFound);
  task_ = good;
  task_.mutable_prepare()->set_model_key("gone");
  EXPECT_THAT(std::string(Run().status().message()), HasSubstr("gone/tokenizer.json"));
  const auto expect = [&](absl::string_view want) {
    const auto result = Run();
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(std::string(want)));
    task_ = good;
  };
  task_ = good;
  task_.mutable_prepare()->mutable_data()->set_max_tokens(513);
  expect("data.max_tokens = 513 is more than the model's context length 512");
  task_.mutable_prepare()->mutable_data()->set_max_tokens(7);
  expect("data.max_tokens = 7 is outside");
  task_.mutable_prepare()->set_validation_fraction(1.5);
  expect("data.validation");
  task_.mutable_prepare()->set_validation_dataset_key("d");
  expect("a share and a dataset");
  task_.mutable_prepare()->mutable_data()->set_max_rows(0);
  expect("data.max_rows = 0");
  task_.set_tenant("../x");
  expect("tenant");
}

TEST(CheckDataTest, CountsWithoutFailingWithAndWithoutACodec) {
  const std::string file = Text("a") + "{broken\n" + Text("a") + Text("abcdefghijkl");
  const ByteCodec codec;
  PrepareOptions options;
  options.max_tokens = 8;
  const auto with = CheckData(ReadFromMemory(file), &codec, options);
  ASSERT_TRUE(with.ok()) << with.status();
  EXPECT_EQ(with->format, "text");
  EXPECT_EQ(with->report.num_bad_rows(), 1);
  EXPECT_EQ(with->report.num_overlong_rows(), 1);
  EXPECT_EQ(with->report.num_duplicate_rows(), 1);
  const auto without = CheckData(ReadFromMemory(file), nullptr, options);
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_EQ(without->report.num_rows(), 3);
  EXPECT_EQ(without->report.num_bad_rows(), 1);
  EXPECT_EQ(CheckFile("/nonexistent/x.jsonl", nullptr, options).status().code(), absl::StatusCode::kNotFound);
}

TEST(PreviewTest, SegmentsTogetherAreTheRenderedText) {
  const ByteCodec codec;
  const auto preview = RenderPreview(
      R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"yes"}]})", codec, {});
  ASSERT_TRUE(preview.ok()) << preview.status();
  EXPECT_EQ(preview->implicit_system_prompt, "be kind");
  ASSERT_EQ(preview->segments.size(), 2u);
  EXPECT_EQ(preview->segments[0].text, "<system>be kind|<user>q|<assistant>");
  EXPECT_FALSE(preview->segments[0].trained());
  EXPECT_EQ(preview->segments[1].text, "yes|");
  EXPECT_TRUE(preview->segments[1].trained());
  EXPECT_EQ(preview->num_trained_tokens, 4);
  EXPECT_EQ(RenderPreview("{", codec, {}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace vernier::data
