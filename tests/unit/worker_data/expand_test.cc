// turns: expand: a conversation becomes a row for every trained turn.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/worker_data/fakes.h"
#include "tests/unit/worker_data/prepare_run.h"
#include "worker/data/check.h"
#include "worker/data/chunk.h"
#include "worker/data/encode_row.h"
#include "worker/data/preview.h"

namespace vernier::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr EncodeOptions kExpand = {.turns = v1::TURNS_EXPAND};

// A conversation of user and assistant in turn, ending with a user message. `weights` of its answers.
std::string Talk(const std::vector<std::string>& answers, const std::vector<double>& weights = {}) {
  std::string line = R"({"messages":[{"role":"system","content":"s"})";
  for (size_t i = 0; i < answers.size(); ++i) {
    absl::StrAppend(&line, R"(,{"role":"user","content":"q"},{"role":"assistant","content":")", answers[i],
                    "\"");
    if (!weights.empty()) absl::StrAppend(&line, ",\"weight\":", weights[i]);
    line += "}";
  }
  return line + R"(,{"role":"user","content":"end"}]})" + "\n";
}

// Each row's text, trained text between [ and ].
std::vector<std::string> Rows(const std::string& line, const EncodeOptions& options) {
  const ByteCodec codec;
  const auto previews = RenderPreviews(line, {}, codec, options);
  if (!previews.ok()) return {std::string(previews.status().message())};
  std::vector<std::string> rows;
  for (const Preview& preview : previews->rows) {
    rows.push_back(absl::StrJoin(preview.segments, "", [](std::string* out, const PreviewSegment& segment) {
      absl::StrAppend(out, segment.trained() ? "[" : "", segment.text, segment.trained() ? "]" : "");
    }));
  }
  return rows;
}

TEST(ExpandTest, EachTurnIsTrainedInARowThatEndsWithIt) {
  EXPECT_THAT(Rows(Talk({"one", "two"}), kExpand),
              ElementsAre("<system>s|<user>q|<assistant>[one|]",
                          "<system>s|<user>q|<assistant>one|<user>q|<assistant>[two|]"));
}

TEST(ExpandTest, TurnsOfWeightZeroAreContextOnly) {
  EXPECT_THAT(
      Rows(Talk({"one", "two", "three"}, {1, 0, 0.5}), kExpand),
      ElementsAre("<system>s|<user>q|<assistant>[one|]",
                  "<system>s|<user>q|<assistant>one|<user>q|<assistant>two|<user>q|<assistant>[three|]"));
  EXPECT_THAT(Rows(Talk({"one"}, {0}), kExpand),
              ElementsAre("the row has no assistant turn with a weight above 0"));
}

TEST(ExpandTest, MessagesOfACompletionAreExpandedThoseOfItsPromptAreNot) {
  const std::string line =
      R"({"prompt":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"a"},)"
      R"({"role":"user","content":"r"}],"completion":[{"role":"assistant","content":"b"},)"
      R"({"role":"user","content":"t"},{"role":"assistant","content":"c"}]})";
  EXPECT_THAT(Rows(line, {.loss_on = v1::LOSS_ON_COMPLETION, .turns = v1::TURNS_EXPAND}),
              ElementsAre("<system>s|<user>q|<assistant>a|<user>r|<assistant>[b|]",
                          "<system>s|<user>q|<assistant>a|<user>r|<assistant>b|<user>t|<assistant>[c|]"));
}

TEST(ExpandTest, RowsWithoutTurnsStayOneRow) {
  EXPECT_EQ(Rows(R"({"prompt":"a","completion":"b"})", kExpand).size(), 1u);
  EXPECT_EQ(Rows(R"({"text":"abc"})", kExpand).size(), 1u);
}

TEST(ExpandTest, LossOnCompletionTrainsTheLastTurnOnly) {
  EXPECT_EQ(Rows(Talk({"one", "two"}), {.loss_on = v1::LOSS_ON_COMPLETION, .turns = v1::TURNS_EXPAND}).size(),
            1u);
}

TEST(ExpandTest, ContradictsLossOnAll) {
  EXPECT_THAT(std::string(CheckEncodeOptions({.loss_on = v1::LOSS_ON_ALL, .turns = v1::TURNS_EXPAND},
                                             RowFormat::kMessages)
                              .message()),
              HasSubstr("data.turns: expand contradicts objective.causal_lm.loss_on: all"));
}

void Expand(v1::Task& task) { task.mutable_prepare()->mutable_data()->set_turns(v1::TURNS_EXPAND); }

// Lengths of the two rows of Talk({"one", "two"}).
constexpr int kFirst = 33, kSecond = 56;

TEST(ExpandTest, RowsMadeOfALineShareItAndAreCounted) {
  const auto made = Prepare(Talk({"one"}) + Talk({"one", "two"}) + Talk({"six"}), Expand);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(made->train_lines, ElementsAre(1, 2, 2, 3));
  const v1::DataReport& report = made->report();
  EXPECT_EQ(report.num_rows(), 4);
  EXPECT_EQ(report.num_rows_read(), 3);
  EXPECT_EQ(report.num_tokens(), 3 * kFirst + kSecond);
  EXPECT_EQ(report.num_trained_tokens(), 4 * 4);
  EXPECT_EQ(report.max_row_tokens(), kSecond);
  EXPECT_EQ(report.median_row_tokens(), kFirst);
  EXPECT_EQ(report.tokens_lost(), 0);
  EXPECT_THAT(
      absl::StrJoin(report.notes(), "\n"),
      HasSubstr("data.turns: expand made 4 rows of 3 conversations (at most 2, of line 2); they have 155 "
                "tokens, 1.3 times those of the conversations"));
}

TEST(ExpandTest, DuplicatesAndTheSplitAreDecidedForConversations) {
  // Both rows of a conversation are on one side, and a repeated conversation goes whole.
  std::string file;
  for (int i = 0; i < 200; ++i) file += Talk({absl::StrCat("a", i), absl::StrCat("b", i)});
  file += Talk({"a0", "b0"});
  const auto made = Prepare(file, [](v1::Task& task) {
    Expand(task);
    task.mutable_prepare()->mutable_data()->mutable_deduplicate()->set_kind(v1::DUPLICATE_KIND_EXACT);
    task.mutable_prepare()->set_validation_fraction(0.2);
  });
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->report().num_deduplicated_rows(), 1);
  EXPECT_EQ(made->train_lines.size() + made->validation_lines.size(), 400u);
  for (const auto* lines : {&made->train_lines, &made->validation_lines}) {
    ASSERT_EQ(lines->size() % 2, 0u);
    for (size_t i = 0; i < lines->size(); i += 2) EXPECT_EQ((*lines)[i], (*lines)[i + 1]);
  }
}

TEST(ExpandTest, MaxRowsCountsConversations) {
  const auto made = Prepare(Talk({"one", "two"}) + Talk({"six", "ten"}) + Talk({"red"}), [](v1::Task& task) {
    Expand(task);
    task.mutable_prepare()->mutable_data()->set_max_rows(2);
  });
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(made->train_lines, ElementsAre(1, 1, 2, 2));
}

TEST(ExpandTest, MixturesDrawFromTheRowsMade) {
  PrepareRun run({Talk({"one", "two", "six"}), Talk({"red"})});
  Expand(run.task);
  run.data().mutable_mix(0)->set_weight(1);
  run.data().mutable_mix(1)->set_weight(1);
  const auto made = run.Run();
  ASSERT_TRUE(made.ok()) << made.status();
  ASSERT_EQ(made->report().sources_size(), 2);
  EXPECT_EQ(made->report().sources(0).num_rows(), 3);
  EXPECT_EQ(made->report().sources(0).rows_per_epoch(), 2);
  EXPECT_EQ(made->report().sources(1).rows_per_epoch(), 2);
}

struct OverlongCase {
  v1::OnOverlong policy;
  int64_t rows, tokens, lost, dropped;
};

TEST(ExpandTest, OverlongPoliciesLookAtEachRowMade) {
  for (const OverlongCase& want : {OverlongCase{v1::ON_OVERLONG_DROP, 1, kFirst, kSecond, 0},
                                   OverlongCase{v1::ON_OVERLONG_TRUNCATE, 1, kFirst, kSecond, 0},
                                   // Cut at 40: the trained turn is in the second piece.
                                   OverlongCase{v1::ON_OVERLONG_SPLIT, 2, kFirst + kSecond - 40, 40, 0}}) {
    const auto made = Prepare(Talk({"one", "two"}), [&](v1::Task& task) {
      Expand(task);
      task.mutable_prepare()->mutable_data()->set_max_tokens(40);
      task.mutable_prepare()->mutable_data()->set_on_overlong(want.policy);
    });
    ASSERT_TRUE(made.ok()) << made.status();
    const v1::DataReport& report = made->report();
    EXPECT_EQ(report.num_overlong_rows(), 1) << want.policy;
    EXPECT_EQ(report.num_rows(), want.rows) << want.policy;
    EXPECT_EQ(report.num_tokens(), want.tokens) << want.policy;
    EXPECT_EQ(report.tokens_lost(), want.lost) << want.policy;
    EXPECT_EQ(report.num_dropped_rows(), want.dropped) << want.policy;
    EXPECT_EQ(report.overlong_losses(3).num_tokens(), kSecond);
    EXPECT_EQ(report.lengths(static_cast<int>(report.lengths_size()) - 1).max_tokens(), 64);
    EXPECT_EQ(absl::StrJoin(report.notes(), "\n").find("on_overlong leaves 1 row of these out") !=
                  std::string::npos,
              want.policy != v1::ON_OVERLONG_SPLIT);
  }
  const auto refused = Prepare(Talk({"one", "two"}), [](v1::Task& task) {
    Expand(task);
    task.mutable_prepare()->mutable_data()->set_max_tokens(40);
  });
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("line 1: 56 tokens, more than max_tokens = 40"));
}

TEST(ExpandTest, AConversationThatGrowsBeyondMeasureIsBad) {
  // 2,000 turns of 40 tokens: a quadratic 80 million.
  const auto made = Prepare(Talk(std::vector<std::string>(2000, std::string(20, 'x'))), Expand);
  EXPECT_THAT(std::string(made.status().message()),
              HasSubstr("data.turns: expand makes a row of each trained turn"));
  EXPECT_THAT(std::string(made.status().message()),
              HasSubstr("of its trained turns (the row has 4002 messages) together have"));
  EXPECT_THAT(std::string(made.status().message()), HasSubstr("more than the limit of 2097152"));
}

TEST(ExpandTest, ATurnOfWhichNothingIsTrainedMakesItsRowBad) {
  // Above 0 as the row has it, and 0 as a token has it.
  const auto made = Prepare(Talk({"one", "two"}, {1, 1e-50}), Expand);
  EXPECT_THAT(std::string(made.status().message()),
              HasSubstr("messages[4]: 0 trained tokens in the row made of this turn"));
}

TEST(ExpandTest, ARowWithoutTrainedTurnsSaysSo) {
  const auto made = Prepare(Talk({"one"}, {0}), Expand);
  EXPECT_THAT(std::string(made.status().message()),
              HasSubstr("no turn of the row is trained (every assistant message has weight 0)"));
}

TEST(ExpandTest, TheReportSaysThatItMeansNothingForRowsWithoutTurns) {
  const auto made = Prepare(R"({"prompt":"a","completion":"b"})"
                            "\n",
                            Expand);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(absl::StrJoin(made->report().notes(), "\n"), HasSubstr("data.turns: expand changes nothing"));
}

TEST(ExpandTest, PreviewsSayWhichMessageAndHowManyThereAre) {
  const ByteCodec codec;
  const auto previews = RenderPreviews(Talk(std::vector<std::string>(150, "a")), {}, codec, kExpand);
  ASSERT_TRUE(previews.ok()) << previews.status();
  EXPECT_EQ(previews->rows.size(), kMaxPreviews);
  EXPECT_EQ(previews->num_rows, 150u);
  EXPECT_EQ(previews->rows[0].message, 2u);
  EXPECT_EQ(previews->rows[99].message, 200u);
  EXPECT_EQ(RenderPreviews(Talk({"a"}), {}, codec, {})->rows[0].message, std::nullopt);
}

TEST(ExpandTest, TheLastPreviewIsRenderedAlone) {
  std::atomic<int64_t> num_tokenized = 0;
  ByteCodec codec;
  codec.num_tokenized = &num_tokenized;
  const auto last = RenderLastPreview(Talk({"one", "two", "six"}, {1, 1, 0}), {}, codec, kExpand);
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(last->message, 4u);
  EXPECT_EQ(num_tokenized.load(), 2) << "for its weights and for its text";
}

TEST(ExpandTest, SamplesAreOfAsManyConversations) {
  const std::string file = Talk({"one", "two"}) + Talk({"six", "ten"}) + Talk({"red", "sky"});
  const ByteCodec codec;
  CheckRequest request;
  request.rows = {.read = ReadFromMemory(file), .size_bytes = static_cast<int64_t>(file.size())};
  request.codec = &codec;
  request.options.encode = kExpand;
  request.options.max_tokens = 1000;
  const auto report = CheckData(request, nullptr);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->samples_size(), 3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(report->samples(i).line(), i + 1);
  EXPECT_EQ(report->samples(1).segments(1).text(), "ten|");
}

}  // namespace
}  // namespace vernier::data
