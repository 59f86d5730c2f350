// Masks, policies, splits, and the prepared files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/unit/worker_data/fakes.h"
#include "tests/unit/worker_data/prepare_run.h"
#include "worker/data/check.h"
#include "worker/data/policies.h"
#include "worker/data/prepare_task.h"
#include "worker/data/prepared_data.h"
#include "worker/data/prepared_file.h"

namespace vernier::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kChat[] =
    R"({"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"one","weight":0.5},{"role":"user","content":"r"},{"role":"assistant","content":"two"}]})";

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
  const auto laid = LayOutRow(*row, options, codec);
  EXPECT_TRUE(laid.ok()) << laid.status();
  const auto encoded = EncodeRow(*laid, codec);
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

TEST(EncodeRowTest, PromptTrainsWhatIsAskedOnly) {
  const EncodedRow row = Encode(kChat, {.loss_on = v1::LOSS_ON_PROMPT});
  EXPECT_EQ(Mask(row), ".system>s|<user>q|<assistant>....<user>r|<assistant>....");
  EXPECT_EQ(Mask(Encode(R"({"prompt":"ab","completion":"cd"})", {.loss_on = v1::LOSS_ON_PROMPT})), ".b...");
  EXPECT_THAT(
      std::string(CheckEncodeOptions({.loss_on = v1::LOSS_ON_PROMPT}, RowFormat::kText).message()),
      HasSubstr("rows of plain text have no assistant turn"));
  EXPECT_THAT(std::string(CheckEncodeOptions({.loss_on = v1::LOSS_ON_PROMPT, .turns = v1::TURNS_LAST},
                                             RowFormat::kMessages)
                              .message()),
              HasSubstr("data.turns: last contradicts objective.causal_lm.loss_on: prompt"));
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

struct RefusalCase {
  std::string name, file;
  std::vector<std::string> wants;
  SetTask set = nullptr;
};
void PrintTo(const RefusalCase& c, std::ostream* out) { *out << c.name; }
class RefusalTest : public testing::TestWithParam<RefusalCase> {};

TEST_P(RefusalTest, EndsWithAMessageThatNamesLinesAndSettings) {
  const auto made = Prepare(GetParam().file, GetParam().set);
  ASSERT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument);
  for (const std::string& want : GetParam().wants)
    EXPECT_THAT(std::string(made.status().message()), HasSubstr(want));
}

std::string ManyBad() {
  std::string file = TextRow("good");
  for (int i = 0; i < 30; ++i) file += "{broken\n";
  return file;
}

void MaxTokens8(v1::Task& task) { task.mutable_prepare()->mutable_data()->set_max_tokens(8); }
void DropBad(v1::Task& task) { task.mutable_prepare()->mutable_data()->set_on_bad_row(v1::ON_BAD_ROW_DROP); }

INSTANTIATE_TEST_SUITE_P(
    Cases, RefusalTest,
    testing::ValuesIn<RefusalCase>({
        {"BlankFile", "\n\r\n", {"the dataset has no rows"}},
        {"BrokenLine",
         TextRow("a") + "\n{\"text\": x}\n",
         {"1 of 2 rows is bad", "leaves out 1 row (0 tokens", "line 3: broken JSON at column 10", "data.on_bad_row: drop"}},
        {"ManyBadRows", ManyBad(), {"30 of 31 rows", "line 2: ", "line 21: ", "... and 10 more"}},
        {"DuplicateIds",
         "{\"text\":\"a\",\"id\":1}\n{\"text\":\"b\",\"id\":1}\n",
         {"line 2: duplicate id 1: line 1 has it too"}},
        {"MixedFormats",
         TextRow("a") + "{\"prompt\":\"a\",\"completion\":\"b\"}\n",
         {"line 2: mixed formats: this row is prompt_completion, line 1 is text"}},
        {"NoAssistant",
         R"({"messages":[{"role":"user","content":"a"}]})",
         {"line 1: 0 trained tokens", "no assistant message"}},
        {"AllWeightsZero",
         R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","weight":0}]})",
         {"0 trained tokens", "weight 0"}},
        {"TemplateRefuses",
         R"({"messages":[{"role":"user","content":"REFUSE"},{"role":"assistant","content":"b"}]})",
         {"line 1: the template refuses this row"}},
        {"TenMegabyteRow",
         TextRow("a") + TextRow(std::string(10 << 20, 'x')),
         {"line 2: the row is 10.0 MiB; the limit is 8.0 MiB"}},
        {"Overlong",
         TextRow("a") + TextRow("abcdefghijkl"),
         {"1 of 2 rows is longer than max_tokens = 8", "line 2: 13 tokens",
          "truncate (loses 5 tokens), split (loses 0) or drop (loses 13)", "The longest row has 13"},
         MaxTokens8},
        {"AllDropped", "{broken\n{broken too\n", {"no row is left to train on"}, DropBad},
        {"NoValidationRow",
         TextRow("a"),
         {"data.validation", "held out none"},
         [](v1::Task& task) { task.mutable_prepare()->set_validation_fraction(1e-9); }},
        {"LossOnAssistantOfText",
         TextRow("a"),
         {"objective.causal_lm.loss_on"},
         [](v1::Task& task) { task.mutable_prepare()->set_loss_on(v1::LOSS_ON_ASSISTANT); }},
        {"PreferencePairs",
         R"({"prompt":"a","chosen":"b","rejected":"c"})",
         {"data: its rows are preference pairs, which can be checked but not trained yet"}},
    }),
    [](const auto& info) { return info.param.name; });

TEST(PrepareRowsTest, DropPoliciesCountWhatGoes) {
  const auto made = Prepare(TextRow("a") + "{broken\n" + TextRow("abcdefghijkl"), [](v1::Task& task) {
    MaxTokens8(task);
    DropBad(task);
    task.mutable_prepare()->mutable_data()->set_on_overlong(v1::ON_OVERLONG_DROP);
  });
  ASSERT_TRUE(made.ok()) << made.status();
  const v1::DataReport& report = made->report();
  EXPECT_EQ(report.num_rows(), 1);
  EXPECT_EQ(report.num_rows_read(), 3);
  EXPECT_EQ(report.num_bad_rows(), 1);
  EXPECT_EQ(report.num_overlong_rows(), 1);
  EXPECT_EQ(report.num_dropped_rows(), 2);
  EXPECT_EQ(report.tokens_lost(), 13);
  ASSERT_EQ(report.problems_size(), 2);
  EXPECT_EQ(report.problems(0).line(), 2);
  EXPECT_EQ(report.problems(1).line(), 3);
}

TEST(PrepareRowsTest, RowWithoutTrainedTokenAfterTruncationIsBad) {
  const std::string row = R"({"prompt":"aaaaaaaaaaaa","completion":"b"})";
  const auto made = Prepare(row, [](v1::Task& task) {
    MaxTokens8(task);
    task.mutable_prepare()->mutable_data()->set_on_overlong(v1::ON_OVERLONG_TRUNCATE);
  });
  EXPECT_THAT(std::string(made.status().message()),
              HasSubstr("line 1: 0 trained tokens in the first 8 of 14"));
}

TEST(PrepareRowsTest, PiecesOfASplitRowAreRowsOfTheSameLine) {
  const auto made = Prepare(TextRow("ab") + TextRow("abcdefghijkl"), [](v1::Task& task) {
    MaxTokens8(task);
    task.mutable_prepare()->mutable_data()->set_on_overlong(v1::ON_OVERLONG_SPLIT);
  });
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(made->train_lines, ElementsAre(1, 2, 2));
  EXPECT_EQ(made->report().num_rows(), 3);
  EXPECT_EQ(made->report().num_tokens(), 3 + 13);
  EXPECT_EQ(made->report().num_trained_tokens(), 2 + 7 + 4);
}

TEST(PrepareRowsTest, RowsStayOnTheirSideWhenOthersComeAndGo) {
  const auto split = [](v1::Task& task) { task.mutable_prepare()->set_validation_fraction(0.1); };
  const auto few = Prepare(ManyTexts(500), split);
  const auto many = Prepare(ManyTexts(1000), split);
  ASSERT_TRUE(few.ok() && many.ok());
  EXPECT_NEAR(static_cast<double>(many->validation_lines.size()), 100.0, 40.0);
  EXPECT_EQ(many->validation_lines.size() + many->train_lines.size(), 1000u);
  const std::set<int64_t> later(many->validation_lines.begin(), many->validation_lines.end());
  for (const int64_t line : few->validation_lines) EXPECT_TRUE(later.contains(line)) << line;
  for (const int64_t line : few->train_lines) EXPECT_FALSE(later.contains(line)) << line;
}

TEST(PrepareRowsTest, RowsOfEqualContentLandOnTheSameSide) {
  const auto made = Prepare(ManyTexts(300) + ManyTexts(300),
                            [](v1::Task& task) { task.mutable_prepare()->set_validation_fraction(0.2); });
  ASSERT_TRUE(made.ok()) << made.status();
  const std::set<int64_t> held_out(made->validation_lines.begin(), made->validation_lines.end());
  for (const int64_t line : held_out) EXPECT_TRUE(held_out.contains(line <= 300 ? line + 300 : line - 300));
  EXPECT_EQ(made->report().num_contaminated_rows(), 0);
}

TEST(PrepareRowsTest, ValidationDatasetAndRowLimits) {
  const std::string validation = ManyTexts(7);
  const auto made = Prepare(
      ManyTexts(50),
      [](v1::Task& task) {
        task.mutable_prepare()->mutable_data()->set_max_rows(10);
        task.mutable_prepare()->mutable_data()->mutable_validation()->set_max_rows(3);
      },
      &validation);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->train_lines.size(), 10u);
  EXPECT_EQ(made->validation_lines.size(), 3u);
  EXPECT_THAT(made->report().notes(), testing::Contains(HasSubstr("rows after line 10 are not used")));
  const std::string pairs = R"({"prompt":"a","completion":"b"})";
  EXPECT_THAT(std::string(Prepare(ManyTexts(5), nullptr, &pairs).status().message()),
              HasSubstr("data.validation: its rows are prompt_completion (line 1), those of data are text"));
}

TEST(PreparedFileTest, DamageIsDataLossNotACrash) {
  const auto made = Prepare(ManyTexts(3));
  ASSERT_TRUE(made.ok()) << made.status();
  const std::string good = made->train_bytes;
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
  blobs_.objects["d"] += TextRow("more");
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

absl::StatusOr<v1::DataReport> CheckText(const std::string& file, const Codec* codec, int64_t max_tokens,
                                         const std::string* validation = nullptr) {
  CheckRequest request;
  request.rows = {ReadFromMemory(file), static_cast<int64_t>(file.size())};
  if (validation != nullptr)
    request.validation = {ReadFromMemory(*validation), static_cast<int64_t>(validation->size())};
  request.codec = codec;
  request.options.max_tokens = max_tokens;
  request.options.threads = 2;
  return CheckData(request, nullptr);
}

TEST(CheckDataTest, CountsWithoutFailingWithAndWithoutACodec) {
  const std::string file = TextRow("a") + "{broken\n" + TextRow("a") + TextRow("abcdefghijkl");
  const ByteCodec codec;
  const auto with = CheckText(file, &codec, 8);
  ASSERT_TRUE(with.ok()) << with.status();
  EXPECT_EQ(with->row_format(), "text");
  EXPECT_EQ(with->num_bad_rows(), 1);
  EXPECT_EQ(with->num_overlong_rows(), 1);
  EXPECT_EQ(with->num_duplicate_rows(), 1);
  EXPECT_EQ(with->samples_size(), 3);
  const auto without = CheckText(file, nullptr, 8);
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_EQ(without->num_rows(), 3);
  EXPECT_EQ(without->num_bad_rows(), 1);
  EXPECT_EQ(without->num_tokens(), 0);
  EXPECT_EQ(without->samples_size(), 0);
}

TEST(CheckDataTest, EveryPolicyForOverlongRowsIsCounted) {
  const ByteCodec codec;
  const auto report = CheckText(TextRow("a") + TextRow("abcdefghijkl"), &codec, 8);
  ASSERT_TRUE(report.ok()) << report.status();
  std::vector<std::string> losses;
  for (const v1::OverlongLoss& loss : report->overlong_losses())
    losses.push_back(
        absl::StrCat(v1::OnOverlong_Name(loss.policy()), " ", loss.num_rows(), " ", loss.num_tokens()));
  EXPECT_THAT(losses, ElementsAre("ON_OVERLONG_REFUSE 0 0", "ON_OVERLONG_TRUNCATE 0 5",
                                  "ON_OVERLONG_SPLIT 0 0", "ON_OVERLONG_DROP 1 13"));
}

TEST(CheckDataTest, ValidationRowsAmongTheOthersAreFound) {
  const std::string sentence =
      "the quick brown fox jumps over the lazy dog and then it goes home to sleep until noon";
  const std::string file = TextRow("alpha") + TextRow(sentence + " again today") + TextRow("gamma");
  const std::string validation = TextRow("gamma") + TextRow(sentence + " again today.") + TextRow("new");
  const ByteCodec codec;
  const auto report = CheckText(file, &codec, 1000, &validation);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->num_validation_rows(), 3);
  EXPECT_EQ(report->num_contaminated_rows(), 1);
  EXPECT_EQ(report->num_near_contaminated_rows(), 1);
  ASSERT_EQ(report->contaminations_size(), 2);
  EXPECT_EQ(report->contaminations(0).row(), "validation line 1");
  EXPECT_EQ(report->contaminations(0).other(), "line 3");
}

}  // namespace
}  // namespace vernier::data
