// The reasoning of answers: found in the text that a template makes, masked or dropped.
#include "worker/data/reasoning.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/worker_data/byte_model.h"
#include "worker/data/chunk.h"

namespace vernier::data {
namespace {

using testing::HasSubstr;

// Like Qwen3's: shows reasoning of the answers behind the last question, an empty block where there is none.
const char kThinks[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% set r = m.reasoning_content or '' %}{% set c = m.content or '' %}"
    "{% if '</think>' in c %}{% set r = c.split('</think>')[0].split('<think>')[-1].strip('\n') %}"
    "{% set c = c.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{% if loop.last or keep %}{{ '<think>\n' + r + '\n</think>\n\n' }}{% endif %}{{ c }}"
    "{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
// Like gpt-oss': channels.
const char kChannels[] =
    "{% for m in messages %}<|start|>{{ m.role }}{% if m.thinking %}<|channel|>analysis<|message|>"
    "{{ m.thinking }}<|end|><|start|>assistant{% endif %}{% if m.role == 'assistant' %}<|channel|>final"
    "{% endif %}<|message|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}";
// Knows nothing of reasoning.
const char kPlain[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
// Strips it from content, everywhere.
const char kStrips[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

// Takes content in parts only, as templates of models for images do.
const char kParts[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for p in m.content %}{{ p.text }}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
// Has marks of its own.
const char kBrackets[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.reasoning_content %}[THINK]"
    "{{ m.reasoning_content }}[/THINK]{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

std::string Answer(const std::string& fields) {
  return R"({"messages":[{"role":"user","content":"q"},{"role":"assistant",)" + fields + "}]}";
}
const char kField[] = R"("content":"It is so.","reasoning_content":"Because A.")";
const char kContent[] = R"("content":"<think>\nBecause A.\n</think>\n\nIt is so.")";

std::string TrainedWith(const char* chat_template, v1::Reasoning reasoning, const std::string& line,
                        v1::Turns turns = v1::TURNS_UNSPECIFIED) {
  CodecFiles files = Files(chat_template);
  files.reasoning = reasoning;
  files.turns = turns;
  return Trained(*Create(files), ParseOk(line), {.loss_on = v1::LOSS_ON_ASSISTANT, .turns = turns});
}

struct ReasoningCase {
  std::string name;
  const char* chat_template;
  const char* fields;
  std::string train, mask, drop;
};

class ReasoningTest : public testing::TestWithParam<ReasoningCase> {};

TEST_P(ReasoningTest, IsTrainedMaskedOrDropped) {
  const std::string line = Answer(GetParam().fields);
  for (const v1::Reasoning train : {v1::REASONING_UNSPECIFIED, v1::REASONING_TRAIN}) {
    EXPECT_EQ(TrainedWith(GetParam().chat_template, train, line), GetParam().train);
  }
  EXPECT_EQ(TrainedWith(GetParam().chat_template, v1::REASONING_MASK, line), GetParam().mask);
  EXPECT_EQ(TrainedWith(GetParam().chat_template, v1::REASONING_DROP, line), GetParam().drop);
}

// "^" stands before each trained run: "^<think>\n^\n</think>" has something masked between.
INSTANTIATE_TEST_SUITE_P(
    Cases, ReasoningTest,
    testing::ValuesIn<ReasoningCase>({
        {"FieldBetweenMarks", kThinks, kField, "^<think>\nBecause A.\n</think>\n\nIt is so.<|im_end|>",
         "^<think>\n^\n</think>\n\nIt is so.<|im_end|>", "^<think>\n\n</think>\n\nIt is so.<|im_end|>"},
        {"ContentBetweenMarks", kThinks, kContent, "^<think>\nBecause A.\n</think>\n\nIt is so.<|im_end|>",
         "^<think>\n^\n</think>\n\nIt is so.<|im_end|>", "^<think>\n\n</think>\n\nIt is so.<|im_end|>"},
        {"Channels", kChannels, R"("content":"It is so.","reasoning":"Because A.")",
         "^<|channel|>analysis<|message|>Because A.<|end|><|start|>assistant<|channel|>final<|message|>It is "
         "so.<|end|>",
         "^<|channel|>analysis<|message|>^<|end|><|start|>assistant<|channel|>final<|message|>It is "
         "so.<|end|>",
         "^<|channel|>final<|message|>It is so.<|end|>"},
        {"ContentOfATemplateThatKnowsNone", kPlain, kContent,
         "^<think>\nBecause A.\n</think>\n\nIt is so.<|im_end|>",
         "^<think>\n^\n</think>\n\nIt is so.<|im_end|>", "^It is so.<|im_end|>"},
        {"FieldOfATemplateThatKnowsNone", kPlain, kField, "^It is so.<|im_end|>", "^It is so.<|im_end|>",
         "^It is so.<|im_end|>"},
        {"NoReasoning", kThinks, R"("content":"It is so.")", "^<think>\n\n</think>\n\nIt is so.<|im_end|>",
         "^<think>\n\n</think>\n\nIt is so.<|im_end|>", "^<think>\n\n</think>\n\nIt is so.<|im_end|>"},
        {"ContentInParts", kParts, kContent, "^<think>\nBecause A.\n</think>\n\nIt is so.<|im_end|>",
         "^<think>\n^\n</think>\n\nIt is so.<|im_end|>", "^It is so.<|im_end|>"},
        {"FieldBetweenOtherMarks", kBrackets, kField, "^[THINK]Because A.[/THINK]It is so.<|im_end|>",
         "^[THINK]^[/THINK]It is so.<|im_end|>", "^It is so.<|im_end|>"},
        {"UsualMarksForATemplateOfOthers", kBrackets, kContent,
         "^<think>\nBecause A.\n</think>\n\nIt is so.<|im_end|>",
         "^<think>\n^\n</think>\n\nIt is so.<|im_end|>", "^It is so.<|im_end|>"},
        // Only a content that begins with the mark has reasoning.
        {"AnswerAboutMarks", kPlain, R"("content":"Write </think> behind it.")",
         "^Write </think> behind it.<|im_end|>", "^Write </think> behind it.<|im_end|>",
         "^Write </think> behind it.<|im_end|>"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(ReasoningMarksTest, AreThoseThatTheTemplateWrites) {
  const auto marks = [](const char* text) {
    ChatTemplateConfig config;
    config.text = text;
    return FindReasoningMarks(**ChatTemplate::Create(config, std::nullopt));
  };
  EXPECT_EQ(marks(kThinks).open, "<think>");
  EXPECT_TRUE(marks(kThinks).may_be_open);
  EXPECT_FALSE(marks(kPlain).may_be_open);
  const auto other = marks(
      "{% for m in messages %}{{ '[INST]' if m.role == 'user' else '' }}"
      "{% if m.reasoning_content %}[THINK]{{ m.reasoning_content }}[/THINK]{% endif %}{{ m.content }}{% "
      "endfor %}");
  EXPECT_EQ(other.open, "[THINK]");
  EXPECT_EQ(other.close, "[/THINK]");
  // Channels are no marks that content could have.
  EXPECT_EQ(marks(kChannels).close, "</think>");
  EXPECT_FALSE(marks(kChannels).may_be_open);
}

TEST(ReasoningTest, AGenerationPromptThatOpensReasoningLetsContentBeginInside) {
  const std::string text =
      std::string(kPlain).substr(0, std::string(kPlain).rfind("\n{% endif %}")) + "\n<think>\n{% endif %}";
  const std::string line = Answer(R"("content":"<think>\nBecause A.\n</think>\n\nIt is so.")");
  EXPECT_EQ(TrainedWith(text.c_str(), v1::REASONING_MASK, line), "^\n</think>\n\nIt is so.<|im_end|>");
  EXPECT_EQ(
      TrainedWith(text.c_str(), v1::REASONING_DROP, Answer(R"("content":"Because A.</think>It is so.")")),
      "^It is so.<|im_end|>");
}

TEST(ReasoningTest, EachTurnOfAnExpandedRowHasItsOwn) {
  const std::string line =
      R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"one","reasoning_content":"R1"},)"
      R"({"role":"user","content":"q"},{"role":"assistant","content":"two","reasoning_content":"R2"}]})";
  EXPECT_THAT(TrainedWith(kThinks, v1::REASONING_MASK, line), HasSubstr("set data.turns: expand"));
  CodecFiles files = Files(kThinks);
  files.turns = v1::TURNS_EXPAND;
  files.reasoning = v1::REASONING_MASK;
  const auto codec = Create(files);
  std::string all;
  ASSERT_TRUE(ForEachTrainedRow(ParseOk(line), {.turns = v1::TURNS_EXPAND}, [&](const Row& row) {
                absl::StrAppend(&all, Trained(*codec, row, {.turns = v1::TURNS_EXPAND}), "|");
                return absl::OkStatus();
              }).ok());
  EXPECT_EQ(all, "^<think>\n^\n</think>\n\none<|im_end|>|^<think>\n^\n</think>\n\ntwo<|im_end|>|");
}

TEST(ReasoningTest, GenerationStartsBeforeMaskedReasoning) {
  const std::string bare =
      "{% for m in messages %}{{ m.role }}:{{ m.reasoning_content or '' }}{{ m.content }}<|im_end|>{% endfor "
      "%}"
      "{% if add_generation_prompt %}assistant:{% endif %}";
  CodecFiles files = Files(bare.c_str());
  files.reasoning = v1::REASONING_MASK;
  const auto codec = Create(files);
  const auto laid = LayOutRow(ParseOk(Answer(kField)), {}, *codec);
  ASSERT_TRUE(laid.ok()) << laid.status();
  const auto row = EncodeRow(*laid, *codec);
  ASSERT_TRUE(row.ok());
  EXPECT_EQ(laid->text.substr(0, 18), "user:q<|im_end|>as");
  EXPECT_EQ(row->prompt_length,
            static_cast<int64_t>(std::string("user:q").size() + 1 + std::string("assistant:").size()));
  EXPECT_EQ(row->weights[row->prompt_length], 0.0F);
}

TEST(ReasoningTest, ReasoningThatATemplateLeavesOutIsSaid) {
  const auto hides = [](const char* chat_template, const char* fields, v1::Reasoning reasoning) {
    CodecFiles files = Files(chat_template);
    files.reasoning = reasoning;
    return Create(files)->Render(ParseOk(Answer(fields)))->hides_reasoning;
  };
  EXPECT_TRUE(hides(kPlain, kField, v1::REASONING_TRAIN));
  EXPECT_TRUE(hides(kPlain, kField, v1::REASONING_MASK));
  EXPECT_TRUE(hides(kStrips, kContent, v1::REASONING_TRAIN));
  EXPECT_FALSE(hides(kPlain, kField, v1::REASONING_DROP));
  EXPECT_FALSE(hides(kThinks, kField, v1::REASONING_TRAIN));
  EXPECT_FALSE(hides(kPlain, R"("content":"It is so.")", v1::REASONING_TRAIN));
}

TEST(ReasoningTest, ReasoningInSeveralPlacesCannotBeMasked) {
  const char kTwice[] =
      "{% for m in messages %}{{ m.role }}{{ m.reasoning_content or '' }}{{ m.reasoning_content or '' }}"
      "{{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}assistant{% endif %}";
  EXPECT_THAT(TrainedWith(kTwice, v1::REASONING_MASK, Answer(kField)),
              HasSubstr("messages[1]: the chat template shows the reasoning of this turn in several places"));
  EXPECT_EQ(TrainedWith(kTwice, v1::REASONING_TRAIN, Answer(kField)),
            "^Because A.Because A.It is so.<|im_end|>");
}

constexpr char kTwoAnswers[] =
    R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"<think>R1</think>one"},)"
    R"({"role":"user","content":"q"},{"role":"assistant","content":"<think>R2</think>two"}]})";

TEST(ReasoningTest, IsMaskedInRewrittenTurnsThatAreTrainedAsTheyStand) {
  // Answers end otherwise once the conversation goes on; reasoning stays.
  const char kEnds[] =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ '<|im_end|>' if loop.last else '|' "
      "}}\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  CodecFiles files = Files(kEnds);
  files.reasoning = v1::REASONING_MASK;
  const std::string trained = Trained(*Create(files), ParseOk(kTwoAnswers), {.loss_on = v1::LOSS_ON_ALL});
  EXPECT_THAT(trained, HasSubstr("<think>^</think>one|"));
  EXPECT_THAT(trained, HasSubstr("<think>^</think>two<|im_end|>"));
}

TEST(ReasoningTest, OfTurnsThatAreNotTrainedMayBeAnywhere) {
  const char kTwice[] =
      "{% for m in messages %}{{ m.role }}:{{ m.reasoning_content or '' }}{{ m.reasoning_content or '' }}"
      "{{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";
  const Row row = ParseOk(
      R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"one","reasoning_content":"R1"},)"
      R"({"role":"user","content":"q"},{"role":"assistant","content":"two"}]})");
  CodecFiles files = Files(kTwice);
  files.reasoning = v1::REASONING_MASK;
  const auto codec = Create(files);
  EXPECT_EQ(Trained(*codec, row, {.loss_on = v1::LOSS_ON_COMPLETION}), "^two<|im_end|>");
  EXPECT_THAT(Trained(*codec, row, {}), HasSubstr("messages[1]: the chat template shows the reasoning"));
}

TEST(ReasoningTest, DropLeavesNoAnswerThatSaysNothing) {
  const auto drop = [](const std::string& fields) {
    return TrainedWith(kPlain, v1::REASONING_DROP, Answer(fields));
  };
  EXPECT_THAT(
      drop(R"("content":"<think>plan</think>\n ")"),
      HasSubstr("messages[1]: it is reasoning and nothing else, so data.reasoning: drop leaves no answer"));
  EXPECT_EQ(drop(R"("content":"<think>plan</think>","weight":0)"), "");
  EXPECT_THAT(drop(R"("content":"<think>plan</think>","tool_calls":[{"type":"function","function":)"
                   R"({"name":"f","arguments":{}}}])"),
              testing::Not(HasSubstr("nothing else")));
}

// Rows of one chunk, encoded with kThinks.
EncodedChunk Encoded(v1::Reasoning reasoning, const std::vector<std::string>& lines,
                     const char* chat_template = kThinks) {
  RawChunk raw;
  for (const std::string& line : lines) {
    RawChunk::Entry& entry = raw.entries.emplace_back();
    entry.line = static_cast<uint32_t>(raw.entries.size() - 1);
    entry.begin = raw.bytes.size();
    raw.bytes += line;
    entry.end = raw.bytes.size();
  }
  CodecFiles files = Files(chat_template);
  files.reasoning = reasoning;
  const ChunkOptions options = {
      .encode = {.reasoning = reasoning}, .max_tokens = 1000, .sign = true, .ngram_words = 1};
  auto chunk = EncodeChunk(raw, options, Create(files).get());
  EXPECT_TRUE(chunk.ok()) << chunk.status();
  return *std::move(chunk);
}

TEST(ReasoningTest, RowsThatDifferInDroppedReasoningAreTheSame) {
  const std::vector<std::string> lines = {Answer(kField), Answer(R"("content":"It is so.")"),
                                          Answer(R"("content":"<think>Otherwise</think>It is so.")")};
  const EncodedChunk dropped = Encoded(v1::REASONING_DROP, lines);
  EXPECT_EQ(dropped.rows[0].content, dropped.rows[1].content);
  EXPECT_EQ(dropped.rows[0].content, dropped.rows[2].content);
  ASSERT_EQ(dropped.signatures.size(), 3u);
  EXPECT_EQ(dropped.signatures[0], dropped.signatures[2]);
  const EncodedChunk kept = Encoded(v1::REASONING_TRAIN, lines);
  EXPECT_NE(kept.rows[0].content, kept.rows[1].content);
}

TEST(ReasoningTest, WhatDropTakesOutIsCounted) {
  const EncodedChunk chunk =
      Encoded(v1::REASONING_DROP, {Answer(kField), Answer(kContent), Answer(R"("content":"It is so.")"),
                                   Answer(R"("content":"Close it with </think>, then answer.")")});
  ASSERT_EQ(chunk.remarks.size(), 2u);
  EXPECT_EQ(chunk.remarks[0].text, "reasoning was taken out (data.reasoning: drop)");
  EXPECT_EQ(chunk.remarks[0].num_rows, 2u);
  EXPECT_THAT(chunk.remarks[1].text, HasSubstr("began without the opening mark"));
  EXPECT_EQ(chunk.remarks[1].num_rows, 1u);
}

TEST(ReasoningTest, ARowOfWhichMaskLeavesNothingSaysSo) {
  const char kOnlyReasoning[] =
      "{% for m in messages %}{% generation %}{{ m.reasoning_content }}{% endgeneration %}{{ m.content }}{% "
      "endfor %}";
  const EncodedChunk chunk = Encoded(v1::REASONING_MASK, {Answer(kField)}, kOnlyReasoning);
  ASSERT_EQ(chunk.reasons.size(), 1u);
  EXPECT_THAT(chunk.reasons[0].second, HasSubstr("(data.reasoning: mask leaves nothing of its answers)"));
}

TEST(ReasoningTest, MeansNothingForRowsWithoutMessagesNorMaskForPrompts) {
  const auto check = [](v1::Reasoning reasoning, RowFormat format,
                        v1::LossOn loss_on = v1::LOSS_ON_UNSPECIFIED) {
    return std::string(CheckEncodeOptions({.loss_on = loss_on, .reasoning = reasoning}, format).message());
  };
  for (const v1::Reasoning reasoning : {v1::REASONING_MASK, v1::REASONING_DROP}) {
    EXPECT_THAT(check(reasoning, RowFormat::kText),
                HasSubstr("data.reasoning: rows of text have no messages"));
    EXPECT_THAT(check(reasoning, RowFormat::kPromptCompletion),
                HasSubstr("data.reasoning: rows of prompt and completion have no messages"));
    EXPECT_EQ(check(reasoning, RowFormat::kMessages), "");
  }
  EXPECT_EQ(check(v1::REASONING_TRAIN, RowFormat::kText), "");
  EXPECT_THAT(check(v1::REASONING_MASK, RowFormat::kMessages, v1::LOSS_ON_PROMPT),
              HasSubstr("data.reasoning: mask contradicts objective.causal_lm.loss_on: prompt"));
  EXPECT_EQ(check(v1::REASONING_DROP, RowFormat::kMessages, v1::LOSS_ON_PROMPT), "");
}

}  // namespace
}  // namespace vernier::data
