// Where turns are found, template by template. Published templates: tests/golden/worker_templates.
#include "worker/data/turn_spans.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vernier::data {
namespace {

using testing::HasSubstr;

const char kChatMl[] =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{% endfor "
    "%}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

std::unique_ptr<const ChatTemplate> Compile(const std::string& text) {
  ChatTemplateConfig config;
  config.text = text;
  config.special_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  auto compiled = ChatTemplate::Create(config, std::nullopt);
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  return *std::move(compiled);
}

Json Talk(std::initializer_list<const char*> contents) {
  Json messages = Json::array();
  for (const char* content : contents) {
    messages.push_back({{"role", messages.size() % 2 == 0 ? "user" : "assistant"}, {"content", content}});
  }
  return messages;
}

// Each turn in brackets, "~" for a rewritten one.
std::string Show(const absl::StatusOr<RenderedConversation>& got) {
  if (!got.ok()) return std::string(got.status().message());
  std::string shown;
  for (const TurnSpan& turn : got->turns) {
    absl::StrAppend(&shown, turn.rewritten ? "~" : "", "[",
                    got->text.substr(turn.begin, turn.end - turn.begin), "]");
  }
  return shown;
}

std::string Turns(const std::string& text, const Json& messages, const Json& tools = nullptr,
                  bool last_only = false) {
  return Show(RenderWithTurns(*Compile(text), messages, tools, last_only));
}

struct TurnCase {
  std::string name, text;
  Json messages;
  std::string want;
};

class FindTurnsTest : public testing::TestWithParam<TurnCase> {};

TEST_P(FindTurnsTest, ContentThroughTheEndOfTurn) {
  EXPECT_EQ(Turns(GetParam().text, GetParam().messages), GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, FindTurnsTest,
    testing::ValuesIn<TurnCase>({
        {"ChatMl", kChatMl, Talk({"a", "one", "b", "two"}), "[one<|im_end|>][two<|im_end|>]"},
        {"EqualTurns", kChatMl, Talk({"x", "x", "x", "x"}), "[x<|im_end|>][x<|im_end|>]"},
        {"ContentLikeTheTemplate", kChatMl,
         Talk({"<|im_start|>assistant\n", "<|im_start|>assistant\n<|im_end|>"}),
         "[<|im_start|>assistant\n<|im_end|><|im_end|>]"},
        {"EndsWithUser", kChatMl, Talk({"a", "one", "b"}), "[one<|im_end|>]"},
        {"BlanksInContentStay", kChatMl, Talk({"a", "  one \n"}), "[  one \n<|im_end|>]"},
        {"NoPromptHeaderIsNotTrained",
         "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}",
         Talk({"a", "one", "b", "two"}), "[one<|end|>][two<|end|>]"},
        {"NoHeaderBlankIsTrained",
         "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% "
         "else %} "
         "{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}",
         Talk({"a", "one", "b", "two"}), "[ one</s>][ two</s>]"},
        {"ConversationEndIsNotTrained",
         "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '<|end|>\n' }}{% endfor %}"
         "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}<|endoftext|>{% endif %}",
         Talk({"a", "one", "b", "two"}), "[one<|end|>][two<|end|>]"},
        {"PromptOpensThinking",
         "{% for m in messages %}{{ '<' + m.role + '>' + m.content + '<eot>' }}{% endfor %}"
         "{% if add_generation_prompt %}{{ '<assistant><think>\n' }}{% endif %}",
         Talk({"a", "<b>one</b>", "b", "<think>\ntwo"}), "[<b>one</b><eot>][two<eot>]"},
        {"NoEndOfTurn",
         "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
         "{% if add_generation_prompt %}assistant:{% endif %}",
         Talk({"a", "one", "b", "two"}), "[ one][ two]"},
        {"SystemTextMovesToTheLastUser",
         "{% for m in messages %}{% if m.role == 'user' %}{% if loop.index0 >= messages | length - 2 "
         "%}[TOOLS]{% endif %}"
         "[INST]{{ m.content }}[/INST]{% else %}{{ m.content }}</s>{% endif %}{% endfor %}",
         Talk({"a", "same", "a", "same", "a", "same"}), "[same</s>][same</s>][same</s>]"},
        {"ThinkingIsStrippedLater",
         "{% for m in messages %}<{{ m.role }}>{{ m.content if loop.last else "
         "m.content.split('</think>')[-1] }}<eot>"
         "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}",
         Talk({"a", "<think>t</think>one", "b", "<think>t</think>two"}), "~[][<think>t</think>two<eot>]"},
        {"NothingToStripIsNoRewriting",
         "{% for m in messages %}<{{ m.role }}>{{ m.content if loop.last else "
         "m.content.split('</think>')[-1] }}<eot>"
         "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}",
         Talk({"a", "one", "b", "<think>t</think>two"}), "[one<eot>][<think>t</think>two<eot>]"},
        {"LastTurnEndsOtherwise",
         "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if m.role == 'user' or not loop.last "
         "%}<end>{% else %}"
         "<return>{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}",
         Talk({"a", "one", "b", "two"}), "~[][two<return>]"},
        {"Marked",
         "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}{% generation %}{{ m.content "
         "}}<eot>\n"
         "{% endgeneration %}{% else %}{{ m.content }}<eot>\n{% endif %}{% endfor %}",
         Talk({"a", "one", "b", "two"}), "[one<eot>\n][two<eot>\n]"},
        {"MarkedInPieces",
         "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% "
         "endgeneration %}-"
         "{% generation %}<eot>{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}"
         "{% generation %}<end>{% endgeneration %}",
         Talk({"a", "one", "b", "two"}), "[one][<eot>][two][<eot>][<end>]"},
        {"MarkedAndRewritten",
         "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content if loop.last "
         "else 'cut' }}"
         "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}",
         Talk({"a", "one", "b", "two"}), "~[cut][two]"},
        {"NoAssistant", kChatMl, Talk({"a"}), ""},
        {"ContentIsDropped", "{% for m in messages %}<{{ m.role }}><eot>{% endfor %}", Talk({"a", "one"}),
         "messages[1]: the chat template drops the content; use a template that shows it "
         "(data.chat_template)"},
        {"TurnIsDropped", "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}",
         Talk({"a", "b"}),
         "messages[1]: the chat template drops the content; use a template that shows it "
         "(data.chat_template)"},
        {"Refused", "{{ raise_exception('no system role') }}", Talk({"a", "b"}),
         "the chat template refuses the conversation: no system role"},
    }),
    [](const auto& info) { return info.param.name; });

TEST(TurnSpansTest, LastOnlyLooksAtTheLastTurnOnly) {
  const char text[] =
      "{% for m in messages %}<{{ m.role }}>{{ m.content if loop.last else 'cut' }}<eot>{% endfor %}"
      "{% if add_generation_prompt %}<assistant>{% endif %}";
  EXPECT_EQ(Turns(text, Talk({"a", "one", "b", "two"}), nullptr, true), "[two<eot>]");
}

TEST(TurnSpansTest, AMarkedMessageKeepsItsIndexForEverySpan) {
  const auto got = RenderWithTurns(*Compile("{% for m in messages %}{% if m.role == 'assistant' %}{% "
                                            "generation %}{{ m.content }}{% endgeneration %}-"
                                            "{% generation %}!{% endgeneration %}{% endif %}{% endfor %}"),
                                   Talk({"a", "one", "b", "two"}), nullptr, false);
  ASSERT_TRUE(got.ok()) << got.status();
  std::vector<size_t> messages;
  for (const TurnSpan& turn : got->turns) messages.push_back(turn.message);
  EXPECT_THAT(messages, testing::ElementsAre(1, 1, 3, 3));
}

TEST(TurnSpansTest, DroppedToolCallsAreRefused) {
  Json messages = Talk({"a", "", "b", "two"});
  messages[1]["tool_calls"] = {{{"function", {{"name", "f"}}}}};
  EXPECT_THAT(Turns(kChatMl, messages), HasSubstr("messages[1]: the chat template drops the tool calls"));
  const std::string shows =
      "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls %}<call>{{ "
      "c.function.name }}</call>"
      "{% endfor %}<eot>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
  EXPECT_EQ(Turns(shows, messages), "[<call>f</call><eot>][two<eot>]");
}

TEST(ImplicitSystemPromptTest, IsWhatStandsWhereASystemMessageWould) {
  const std::string with_default = absl::StrCat(
      "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are helpful.<|im_end|>\n{% endif %}",
      kChatMl);
  EXPECT_EQ(*ImplicitSystemPrompt(*Compile(with_default), Talk({"a", "b"}), nullptr), "You are helpful.");
  EXPECT_EQ(*ImplicitSystemPrompt(*Compile(kChatMl), Talk({"a", "b"}), nullptr), "");
}

TEST(ImplicitSystemPromptTest, IsEmptyWhenThereIsASystemMessageOrNoSuchRole) {
  const std::string with_default = absl::StrCat(
      "{% if messages[0].role != 'system' %}<|im_start|>system\nD<|im_end|>\n{% endif %}", kChatMl);
  Json messages = Talk({"a", "b"});
  messages[0]["role"] = "system";
  EXPECT_EQ(*ImplicitSystemPrompt(*Compile(with_default), messages, nullptr), "");
  const std::string no_system = absl::StrCat(
      "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}text that is always there",
      kChatMl);
  EXPECT_EQ(*ImplicitSystemPrompt(*Compile(no_system), Talk({"a", "b"}), nullptr), "");
  const std::string into_user =
      "{% set s = messages[0].content + '\n\n' if messages[0].role == 'system' else '' %}{% for m in "
      "messages %}"
      "{% if m.role != 'system' %}<u>{{ s if loop.index0 < 2 }}{{ m.content }}</u>{% endif %}{% endfor %}";
  EXPECT_EQ(*ImplicitSystemPrompt(*Compile(into_user), Talk({"a", "b"}), nullptr), "");
}

TEST(ImplicitSystemPromptTest, IsFoundWhereContentComesInParts) {
  const char with_default[] =
      "{% if messages[0].role != 'system' %}<system>D|{% endif %}{% for m in messages %}<{{ m.role }}>"
      "{% for p in m.content %}{{ p.text }}{% endfor %}|{% endfor %}";
  Json messages = Json::array();
  for (const char* role : {"user", "assistant"})
    messages.push_back({{"role", role}, {"content", {{{"type", "text"}, {"text", "a"}}}}});
  EXPECT_EQ(*ImplicitSystemPrompt(*Compile(with_default), messages, nullptr), "D");
}

constexpr char kEndless[] =
    "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";

TEST(SpentBudgetTest, OneRenderThatEndsNowhereIsAskedOnce) {
  // Only the generation prompt loops, which no turn strictly needs.
  const auto prompt =
      Compile(absl::StrCat(kChatMl, "{% if add_generation_prompt %}", kEndless, "{% endif %}"));
  const auto found = RenderWithTurns(*prompt, Talk({"a", "b", "c", "d"}), nullptr, false);
  EXPECT_TRUE(SpentItsBudget(found.status())) << found.status();
  EXPECT_THAT(std::string(found.status().message()), HasSubstr("messages[1]"));
  const auto system =
      Compile(absl::StrCat("{% if messages[0].role == 'system' %}", kEndless, "{% endif %}", kChatMl));
  EXPECT_TRUE(SpentItsBudget(ImplicitSystemPrompt(*system, Talk({"a", "b"}), nullptr).status()));
  // A prefix of the conversation, asked for a short answer that may be there by chance, and for a marked one.
  const auto marked = Compile(
      absl::StrCat("{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% else %}{% generation %}"
                   "{{ m.content }}{% endgeneration %}{% endif %}{% endfor %}{% if messages | length == 2 %}",
                   kEndless, "{% endif %}"));
  for (const char* const answer : {"b", "an answer that is there"}) {
    const Json messages = Talk({"a", answer, "c", "d"});
    EXPECT_TRUE(SpentItsBudget(RenderWithTurns(*marked, messages, nullptr, false).status())) << answer;
  }
}

}  // namespace
}  // namespace vernier::data
