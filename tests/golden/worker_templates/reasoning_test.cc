// What data.reasoning: mask takes out of the loss in published templates: the reasoning as it was written,
// wherever the template puts it, and nothing else.
#include "worker/data/reasoning.h"

#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/golden/worker_templates/template_test.h"
#include "worker/data/tool_call_style.h"
#include "worker/data/turn_spans.h"

namespace vernier::data {
namespace {

// The turns that are trained, {} around what weighs nothing; turns that the template rewrites, and reasoning
// that it leaves out, as "-".
std::string Masked(const ChatTemplate& chat_template, const std::string& conversation) {
  const TemplateGoldens& goldens = TemplateGoldens::Get();
  const Json messages = goldens.Messages(conversation), tools = goldens.Tools(conversation);
  const auto chat = RenderWithTurns(chat_template, messages, tools, false);
  if (!chat.ok()) return "";
  const ReasoningMarks marks = FindReasoningMarks(chat_template);
  std::string all;
  for (const TurnSpan& turn : chat->turns) {
    if (turn.rewritten) {
      absl::StrAppend(&all, "-|");
      continue;
    }
    const auto span = FindReasoning(chat_template, messages, tools, chat->text, turn.message, marks);
    EXPECT_TRUE(span.ok()) << span.status();
    if (!span.ok()) return "";
    const auto text = [&](size_t begin, size_t end) { return chat->text.substr(begin, end - begin); };
    const bool shown = span->has_value() && (*span)->begin < (*span)->end;
    // A message that the template marks may have several spans; reasoning is in one of them, or not trained.
    const bool inside = shown && turn.begin <= (*span)->begin && (*span)->end <= turn.end;
    EXPECT_TRUE(inside || chat_template.marks_generation() || !shown);
    if (!inside) {
      absl::StrAppend(&all, span->has_value() && !shown ? "-" : "", text(turn.begin, turn.end), "|");
      continue;
    }
    absl::StrAppend(&all, text(turn.begin, (*span)->begin), "{", text((*span)->begin, (*span)->end), "}",
                    text((*span)->end, turn.end), "|");
  }
  return all;
}

constexpr const char* kConversations[] = {"think",     "think_multi",    "system_think",
                                          "reasoning", "call_reasoning", "call_null_reasoning",
                                          "one",       "tool_text"};
constexpr const char* kSentences[] = {"Because A.", "B now.", "Look it up.", "It says so.", "Be kind."};

// Expects that all reasoning which a trained turn shows is found, and counts it.
int NumMasked(const ChatTemplate& chat_template) {
  const TemplateGoldens& goldens = TemplateGoldens::Get();
  const ReasoningMarks marks = FindReasoningMarks(chat_template);
  int num_masked = 0;
  for (const char* const conversation : kConversations) {
    Json messages = goldens.Messages(conversation);
    const Json tools = goldens.Tools(conversation);
    if (WantsParts(chat_template)) ContentInParts(messages);
    const auto chat = RenderWithTurns(chat_template, messages, tools, false);
    if (!chat.ok()) continue;
    for (const TurnSpan& turn : chat->turns) {
      const Json& message = messages[turn.message];
      if (turn.rewritten || !HasReasoning(message, marks)) continue;
      for (const char* const sentence : kSentences) {
        const size_t at = chat->text.find(sentence, turn.begin), size = std::string(sentence).size();
        if (!absl::StrContains(message.dump(), sentence) || at == std::string::npos || at + size > turn.end)
          continue;
        const auto span = FindReasoning(chat_template, messages, tools, chat->text, turn.message, marks);
        EXPECT_TRUE(span.ok() && span->has_value()) << conversation << ": " << span.status();
        if (!span.ok() || !span->has_value()) continue;
        EXPECT_LE((*span)->begin, at) << conversation;
        EXPECT_GE((*span)->end, at + size) << conversation;
        ++num_masked;
      }
    }
  }
  return num_masked;
}

class ReasoningTemplateTest : public TemplateTest {};

TEST_P(ReasoningTemplateTest, MasksTheReasoningAndNothingElse) {
  for (const char* const conversation : kConversations) {
    const std::string masked = Masked(*template_, conversation);
    for (size_t begin = masked.find('{'); begin != std::string::npos; begin = masked.find('{', begin + 1)) {
      const std::string inside = masked.substr(begin + 1, masked.find('}', begin) - begin - 1);
      if (inside.find(':') != std::string::npos) continue;  // a tool call's JSON
      EXPECT_THAT(kSentences, testing::Contains(inside)) << conversation << "\n" << masked;
    }
  }
}

TEST_P(ReasoningTemplateTest, MasksAllThatIsShown) { NumMasked(*template_); }

INSTANTIATE_TEST_SUITE_P(Templates, ReasoningTemplateTest,
                         testing::ValuesIn(TemplateGoldens::Get().TemplateNames()), TemplateName);

TEST(ReasoningTemplatesTest, MostShowReasoning) {
  int num_templates = 0;
  for (const std::string& name : TemplateGoldens::Get().TemplateNames()) {
    const auto compiled = TemplateGoldens::Get().Compile(name);
    if (absl::IsNotFound(compiled.status())) GTEST_SKIP() << compiled.status();
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    if (NumMasked(**compiled) > 0) ++num_templates;
  }
  EXPECT_GE(num_templates, 70);
}

TEST(ReasoningTemplatesTest, PutReasoningWhereTheyAlwaysDid) {
  struct Case {
    const char *name, *conversation, *want;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"qwen3", "reasoning", "-|<think>\n{B now.}\n</think>\n\nDone.<|im_end|>|"},
           {"qwen3", "think_multi", "-|<think>\n{B now.}\n</think>\n\nDone.<|im_end|>|"},
           {"deepseekv3", "think", "-\n\nIt is so.<｜end▁of▁sentence｜>|"},
           {"deepseek_r1_distill", "think", "-\n\nIt is so.<｜end▁of▁sentence｜>|"},
           {"gptoss", "reasoning",
            "-|<|channel|>analysis<|message|>{B "
            "now.}<|end|><|start|>assistant<|channel|>final<|message|>Done.<|return|>|"},
           {"gptoss", "call_reasoning",
            "-|-|<|channel|>analysis<|message|>{Be "
            "kind.}<|end|><|start|>assistant<|channel|>final<|message|>Welcome.<|return|>|"},
           {"glm4moe", "reasoning", "-|\n<think>{B now.}</think>\nDone.|"},
           {"glm4moe", "call_reasoning", "-|-|\n<think>{Be kind.}</think>\nWelcome.|"},
           {"nemotron_3_nano", "reasoning", "-|{B now.}\n</think>\nDone.<|im_end|>|"},
           {"qwen3_5_think", "reasoning", "-|{B now.}\n</think>\n\nDone.<|im_end|>|"},
           {"gemma4_v5", "reasoning", "-|<|channel>thought\n{B now.}\n<channel|>Done.<turn|>|"},
           {"cohere2", "reasoning",
            "-It is so.<|END_RESPONSE|><|END_OF_TURN_TOKEN|>|-Done.<|END_RESPONSE|><|END_OF_TURN_TOKEN|>|"},
           {"llama3_2", "think", "<think>\n{Because A.}\n</think>\n\nIt is so.<|eot_id|>|"},
           {"smollm2", "think", "<think>\n{Because A.}\n</think>\n\nIt is so.<|im_end|>|"},
       }) {
    const auto compiled = TemplateGoldens::Get().Compile(c.name);
    if (absl::IsNotFound(compiled.status())) GTEST_SKIP() << compiled.status();
    EXPECT_EQ(Masked(**compiled, c.conversation), c.want) << c.name << " " << c.conversation;
  }
}

}  // namespace
}  // namespace vernier::data
