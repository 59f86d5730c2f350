// How messages, tools, tokens and the time reach a chat template.
#include "worker/data/text/chat_template.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace vernier::data {
namespace {

using testing::HasSubstr;

absl::StatusOr<std::string> Render(const std::string& text, const Json& messages, const Json& tools = nullptr,
                                   bool prompt = false, const Json& variables = nullptr,
                                   const std::optional<std::string>& time = std::nullopt) {
  ChatTemplateConfig config;
  config.text = text;
  config.special_tokens = {{"bos_token", "<s>"}};
  auto compiled = ChatTemplate::Create(config, time);
  if (!compiled.ok()) return compiled.status();
  auto chat = (*compiled)->Render(messages, tools, prompt, variables);
  if (!chat.ok()) return chat.status();
  return chat->text;
}

TEST(ChatTemplateTest, GetsTokensToolsAndThePromptFlag) {
  EXPECT_EQ(*Render("{{ bos_token }}{{ eos_token }}{{ tools }}{{ documents }}{{ add_generation_prompt }}",
                    Json::array()),
            "<s>NoneNoneFalse");
  EXPECT_EQ(
      *Render("{{ tools | length }}{{ add_generation_prompt }}", Json::array(), Json::array({1, 2}), true),
      "2True");
}

TEST(ChatTemplateTest, VariablesGoBeforeTokensAndBehindMessages) {
  EXPECT_EQ(*Render("{{ bos_token }}{{ x }}{{ messages }}", Json::array(), nullptr, false,
                    {{"bos_token", "B"}, {"x", 1.0}, {"messages", "no"}}),
            "B1.0[]");
}

TEST(ChatTemplateTest, KeysWithoutAValueAreLeftOut) {
  const Json messages = {{{"role", "assistant"}, {"content", nullptr}, {"tool_calls", nullptr}}};
  EXPECT_EQ(*Render("{{ messages[0] }}{{ 'content' in messages[0] }}", messages),
            "{'role': 'assistant'}False");
}

TEST(ChatTemplateTest, ReasoningIsGivenUnderEachOfItsNames) {
  EXPECT_EQ(*Render("{{ messages[0] }}", {{{"role", "assistant"}, {"reasoning", "R"}}}),
            "{'thinking': 'R', 'role': 'assistant', 'reasoning': 'R', 'reasoning_content': 'R'}");
  EXPECT_EQ(*Render("{{ messages[0] }}", {{{"reasoning_content", "A"}, {"thinking", "B"}}}),
            "{'thinking': 'B', 'reasoning_content': 'A'}");
}

TEST(ChatTemplateTest, TheFrozenTimeIsInItsOwnOffset) {
  const char text[] = "{{ strftime_now('%Y-%m-%d %H:%M:%S.%f|%z|%Z|%%') }}";
  EXPECT_EQ(*Render(text, Json::array(), nullptr, false, nullptr, "2026-03-07T23:05:06.25+02:00"),
            "2026-03-07 23:05:06.250000|||%");
  EXPECT_EQ(*Render(text, Json::array(), nullptr, false, nullptr, "2026-03-07T23:05:06Z"),
            "2026-03-07 23:05:06.000000|||%");
  EXPECT_THAT(
      std::string(Render(text, Json::array(), nullptr, false, nullptr, "yesterday").status().message()),
      HasSubstr("data.template_time = \"yesterday\" is no RFC 3339 time"));
}

TEST(ChatTemplateTest, ErrorsSayThatTheyAreTheTemplates) {
  EXPECT_EQ(Render("\n{% if %}", Json::array()).status().message(),
            "chat template: line 2: expected an expression, got %}");
  EXPECT_EQ(Render("\n{{ x.y }}", Json::array()).status().message(),
            "chat template: line 2: 'x' is undefined");
  EXPECT_EQ(Render("{{ raise_exception('System role not supported') }}", Json::array()).status().message(),
            "the chat template refuses the conversation: System role not supported");
  EXPECT_THAT(std::string(Render(std::string(2 << 20, 'x'), Json::array()).status().message()),
              HasSubstr("is more than the limit of 1.0 MiB"));
}

TEST(ChatTemplateTest, WrongInputIsRefused) {
  EXPECT_FALSE(Render("x", Json::object()).ok());
  EXPECT_FALSE(Render("x", Json::array({1})).ok());
  EXPECT_FALSE(Render("x", Json::array(), Json("tools")).ok());
  EXPECT_FALSE(Render("x", Json::array(), nullptr, false, Json::array()).ok());
  for (const Json& bad : {Json({{"content", "a\xFF"}}), Json({{"a\xC3", 1}})}) {
    EXPECT_THAT(std::string(Render("x", Json::array({bad})).status().message()),
                HasSubstr("messages: not UTF-8"));
  }
  EXPECT_THAT(std::string(Render("x", {{{"n", 18446744073709551615U}}}).status().message()),
              HasSubstr("does not fit into 64 bits"));
}

TEST(ChatTemplateConfigTest, ReadsTokensAsStringsOrAddedTokens) {
  const auto config = ReadChatTemplateConfig(
      R"({"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>", "pad_token": null, "chat_template": "T"})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->text, "T");
  EXPECT_THAT(config->special_tokens,
              testing::ElementsAre(testing::Pair("bos_token", "<s>"), testing::Pair("eos_token", "</s>")));
}

TEST(ChatTemplateConfigTest, AListGivesItsDefaultAndItsToolTemplate) {
  const auto config = ReadChatTemplateConfig(
      R"({"chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "U{{ tools | length }}"},
                            {"name": "rag", "template": "R"}]})");
  ASSERT_TRUE(config.ok()) << config.status();
  const auto compiled = ChatTemplate::Create(*config, std::nullopt);
  ASSERT_TRUE(compiled.ok());
  EXPECT_EQ((*compiled)->Render(Json::array(), nullptr, false)->text, "D");
  EXPECT_EQ((*compiled)->Render(Json::array(), Json::array(), false)->text, "U0");
}

TEST(ChatTemplateConfigTest, MalformedConfigsAreRefused) {
  EXPECT_TRUE(ReadChatTemplateConfig("")->text.empty());
  EXPECT_TRUE(ReadChatTemplateConfig("{}")->text.empty());
  for (const char* bad :
       {"[", "[]", R"({"bos_token": 1})", R"({"chat_template": 1})", R"({"chat_template": [1]})",
        R"({"chat_template": [{"name": "rag", "template": "R"}]})"}) {
    EXPECT_EQ(ReadChatTemplateConfig(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace vernier::data
