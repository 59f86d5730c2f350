// The codec of a model: its tokenizer and its template together, down to which tokens are trained.
#include "worker/data/codec.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/worker_data/byte_model.h"
#include "worker/data/chunk.h"
#include "worker/data/encode_row.h"

namespace vernier::data {
namespace {

using testing::HasSubstr;

const char kTemplate[] =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{% endfor "
    "%}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
// Shows earlier answers without what stands before "|".
const char kStripping[] =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + (m.content if loop.last else "
    "m.content.split('|')[-1]) + "
    "'<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

const char kTwoTurns[] =
    R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "x|one", "weight": W},
                     {"role": "user", "content": "b"}, {"role": "assistant", "content": "y|two"}]})";

Row TwoTurns(const std::string& weight = "1") {
  std::string line = kTwoTurns;
  line.replace(line.find("W"), 1, weight);
  return ParseOk(line);
}

TEST(CodecTest, TrainsEveryTurnThroughItsEndOfTurnToken) {
  const auto codec = Create(Files(kTemplate));
  EXPECT_EQ(Trained(*codec, TwoTurns(), {v1::LOSS_ON_ASSISTANT}), "^x|one<|im_end|>^y|two<|im_end|>");
  EXPECT_EQ(Trained(*codec, TwoTurns(), {v1::LOSS_ON_COMPLETION}), "^y|two<|im_end|>");
  EXPECT_EQ(Trained(*codec, TwoTurns("0"), {v1::LOSS_ON_ASSISTANT}), "^y|two<|im_end|>");
}

// Prints arguments as they stand, and adds to content: fails on objects and on null, as published templates
// do.
const char kTextArguments[] =
    "{% for m in messages %}{% if m.tool_calls %}<|im_start|>assistant\n{% for c in m.tool_calls %}{{ "
    "m.content + "
    "c.function.name + c.function.arguments }}{% endfor %}<|im_end|>\n{% else %}{{ '<|im_start|>' + m.role + "
    "'\n' + "
    "m.content + '<|im_end|>\n' }}{% endif %}{% endfor %}{% if add_generation_prompt "
    "%}<|im_start|>assistant\n{% endif "
    "%}";

TEST(CodecTest, ATemplateThatTakesNoObjectsSeesArgumentsAsText) {
  const auto codec = Create(Files(kTextArguments));
  for (const char* const arguments : {R"({"b": 1, "a": ["x", null]})", R"("{\"b\":1,\"a\":[\"x\",null]}")"}) {
    const Row row = ParseOk(absl::StrCat(
        R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[)",
        R"({"type":"function","function":{"name":"f","arguments":)", arguments, "}}]}]}"));
    EXPECT_EQ(Trained(*codec, row, {v1::LOSS_ON_ASSISTANT}), R"(^f{"b": 1, "a": ["x", null]}<|im_end|>)");
  }
}

TEST(CodecTest, AllMessagesOfACompletionAreTrainedAndNoneOfItsPrompt) {
  const auto codec = Create(Files(kTemplate));
  const Row row = ParseOk(
      R"({"prompt":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}],
          "completion":[{"role":"assistant","content":"d"},{"role":"user","content":"e"},{"role":"assistant","content":"f"}]})");
  for (const v1::LossOn loss_on : {v1::LOSS_ON_UNSPECIFIED, v1::LOSS_ON_COMPLETION}) {
    EXPECT_EQ(Trained(*codec, row, {loss_on}), "^d<|im_end|>^f<|im_end|>");
  }
}

TEST(CodecTest, PreferencePairsAreNotTrainedOnYet) {
  const auto codec = Create(Files(kTemplate));
  const Row row = ParseOk(R"({"prompt":"a","chosen":"b","rejected":"c"})");
  EXPECT_THAT(std::string(LayOutRow(row, {}, *codec).status().message()),
              HasSubstr("training on it comes in a later version"));
}

TEST(CodecTest, ARewrittenTurnIsRefusedOnlyWhenItIsTrained) {
  const auto codec = Create(Files(kStripping));
  const std::string refused = Trained(*codec, TwoTurns(), {v1::LOSS_ON_ASSISTANT});
  EXPECT_THAT(refused, HasSubstr("messages[1]: the chat template shows this assistant turn otherwise"));
  EXPECT_THAT(refused, HasSubstr("set data.turns: expand"));
  EXPECT_EQ(Trained(*codec, TwoTurns("0"), {v1::LOSS_ON_ASSISTANT}), "^y|two<|im_end|>");
  EXPECT_EQ(Trained(*codec, TwoTurns(), {v1::LOSS_ON_COMPLETION}), "^y|two<|im_end|>");
  EXPECT_EQ(Trained(*codec, TwoTurns(), {v1::LOSS_ON_ASSISTANT, v1::TURNS_LAST}), "^y|two<|im_end|>");
  // All text is trained as it stands, unless the turn should weigh otherwise.
  EXPECT_THAT(Trained(*codec, TwoTurns(), {v1::LOSS_ON_ALL}), HasSubstr("one<|im_end|>"));
  EXPECT_THAT(Trained(*codec, TwoTurns("0.5"), {v1::LOSS_ON_ALL}),
              HasSubstr("shows this assistant turn otherwise"));
}

TEST(CodecTest, TurnsLastFindsTheLastTurnOnly) {
  CodecFiles files = Files(kStripping);
  files.turns = v1::TURNS_LAST;
  const auto rendered = Create(files)->Render(TwoTurns());
  ASSERT_TRUE(rendered.ok()) << rendered.status();
  ASSERT_EQ(rendered->turns.size(), 1u);
  EXPECT_EQ(rendered->turns[0].message, 3u);
}

TEST(CodecTest, AJobsOwnTemplateDecidesTheMaskWithItsBlocks) {
  // Other than the model's: it trains the header, and of the answer the end only.
  CodecFiles files = Files(kTemplate);
  files.chat_template_override =
      "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}A:{% endgeneration %}{{ "
      "m.content }}"
      "{% generation %}!{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}";
  const auto codec = Create(files);
  EXPECT_EQ(Trained(*codec, TwoTurns(), {v1::LOSS_ON_ASSISTANT}), "^A:^!^A:^!");
  EXPECT_EQ(Trained(*codec, TwoTurns("0"), {v1::LOSS_ON_ASSISTANT}), "^A:^!");
  EXPECT_EQ(Trained(*codec, TwoTurns(), {v1::LOSS_ON_COMPLETION}), "^A:^!");
}

TEST(CodecTest, ATemplateForImagesGetsContentInParts) {
  const auto codec = Create(Files(
      "{% for m in messages %}<|im_start|>{{ m.role }}: {% for p in m.content %}{% if p.type == 'text' %}"
      "{{ p.text }}{% endif %}{% endfor %}<|im_end|>{% endfor %}"
      "{% if add_generation_prompt %}<|im_start|>assistant: {% endif %}"));
  EXPECT_EQ(Trained(*codec, TwoTurns(), {v1::LOSS_ON_ASSISTANT}), "^x|one<|im_end|>^y|two<|im_end|>");
  EXPECT_EQ(*codec->RenderPrompt({{{"role", "user"}, {"content", "hi"}}}),
            "<|im_start|>user: hi<|im_end|><|im_start|>assistant: ");
}

TEST(CodecTest, ATemplateThatEndsWithNoRowEndsTheRun) {
  const auto codec = Create(
      Files("{% for m in messages %}{% if m.content == 'loop' %}{% for a in range(100000) %}{% for b in "
            "range(100000) %}{% endfor %}{% endfor %}{% endif %}{{ m.content }}<|im_end|>{% endfor %}"));
  RawChunk raw;
  for (int i = 0; i < 5; ++i) {
    RawChunk::Entry& entry = raw.entries.emplace_back();
    entry.line = static_cast<uint32_t>(i);
    entry.begin = raw.bytes.size();
    absl::StrAppend(&raw.bytes, R"({"messages":[{"role":"user","content":")", i == 1 ? "x" : "loop",
                    R"("},{"role":"assistant","content":"a"}]})");
    entry.end = raw.bytes.size();
  }
  const absl::Status status = EncodeChunk(raw, {.max_tokens = 100}, codec.get()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("line 5: "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("it is the 4th row with which it does"));
  // A single one is a bad row.
  raw.entries.resize(2);
  const auto chunk = EncodeChunk(raw, {.max_tokens = 100}, codec.get());
  ASSERT_TRUE(chunk.ok()) << chunk.status();
  EXPECT_TRUE(chunk->rows[0].Has(RowFacts::kBad));
  EXPECT_FALSE(chunk->rows[1].Has(RowFacts::kBad));
}

TEST(CodecTest, WeightIsNoPartOfTheConversation) {
  const auto codec = Create(Files("{{ messages }}"));
  const auto rendered = codec->RenderPrompt({{{"role", "user"}}, {{"role", "assistant"}, {"weight", 1}}});
  EXPECT_THAT(*rendered, HasSubstr("weight"));  // RenderPrompt takes messages as they are
  EXPECT_THAT(codec->Render(TwoTurns())->text, testing::Not(HasSubstr("weight")));
}

TEST(CodecTest, PromptsEndWithTheGenerationPrompt) {
  const auto codec = Create(Files(kTemplate));
  EXPECT_EQ(*codec->RenderPrompt({{{"role", "user"}, {"content", "hi"}}}),
            "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
}

TEST(CodecTest, NamesTheImplicitSystemPrompt) {
  const auto codec = Create(Files(
      absl::StrCat("{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}",
                   kTemplate)
          .c_str()));
  EXPECT_EQ(codec->Render(TwoTurns())->implicit_system_prompt, "Be kind.");
}

TEST(CodecTest, TheOverrideReplacesTheModelsTemplate) {
  CodecFiles files = Files(kTemplate);
  files.chat_template_override = kStripping;
  std::string text;
  ASSERT_TRUE(CreateCodec(files, &text).ok());
  EXPECT_EQ(text, kStripping);
}

TEST(CodecTest, AModelWithoutATemplateSaysSoWhenItIsAsked) {
  const auto codec = Create(Files(nullptr));
  EXPECT_EQ(codec->Render(TwoTurns()).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(codec->RenderPrompt(Json::array()).status().message()),
              HasSubstr("set data.chat_template"));
  EXPECT_EQ(codec->Tokenize("hi")->ids.size(), 2u);
}

TEST(CodecTest, BadFilesAreRefused) {
  CodecFiles files = Files("{% if %}");
  EXPECT_THAT(std::string(CreateCodec(files, nullptr).status().message()),
              HasSubstr("chat template: line 1: "));
  files = Files(kTemplate);
  files.template_time = "noon";
  EXPECT_THAT(std::string(CreateCodec(files, nullptr).status().message()), HasSubstr("data.template_time"));
  files = Files(kTemplate);
  files.tokenizer_config_json = "{";
  EXPECT_FALSE(CreateCodec(files, nullptr).ok());
}

TEST(CodecTest, HandsOutItsTokenizer) {
  const auto codec = Create(Files(kTemplate));
  EXPECT_EQ(codec->tokenizer().TokenId("<|im_end|>"), codec->eos_id());
}

}  // namespace
}  // namespace vernier::data
