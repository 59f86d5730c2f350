#include "client/cli/chat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace vernier::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct LineCase {
  std::string line;
  ChatInput::Kind kind;
  std::string text;
};
class ParseChatLineTest : public testing::TestWithParam<LineCase> {};

TEST_P(ParseChatLineTest, MeansThis) {
  const ChatInput input = ParseChatLine(GetParam().line);
  EXPECT_EQ(input.kind, GetParam().kind);
  EXPECT_EQ(input.text, GetParam().text);
}

INSTANTIATE_TEST_SUITE_P(Cases, ParseChatLineTest,
                         testing::ValuesIn<LineCase>({
                             {"", ChatInput::Kind::kNothing, ""},
                             {"  \t", ChatInput::Kind::kNothing, ""},
                             {" hello there ", ChatInput::Kind::kSay, "hello there"},
                             {"//etc/passwd", ChatInput::Kind::kSay, "/etc/passwd"},
                             {"/reset", ChatInput::Kind::kReset, ""},
                             {"/system Be brief. ", ChatInput::Kind::kSystem, "Be brief."},
                             {"/system", ChatInput::Kind::kSystem, ""},
                             {"/help", ChatInput::Kind::kHelp, ""},
                             {"/quit", ChatInput::Kind::kQuit, ""},
                             {"/exit", ChatInput::Kind::kQuit, ""},
                             {"/quit now", ChatInput::Kind::kUnknown, "/quit"},
                             {"/rest", ChatInput::Kind::kUnknown, "/rest"},
                         }));

// A model that says what it was asked, unless the test says otherwise.
class ChatTest : public testing::Test {
 protected:
  absl::Status Run(const std::string& typed, ChatOptions options = {}) {
    std::istringstream in(typed);
    const ChatCallbacks callbacks = {
        .render =
            [](const nlohmann::ordered_json& messages) {
              std::string text;
              for (const auto& message : messages) {
                absl::StrAppend(&text, message["role"].get<std::string>().substr(0, 1), ":",
                                message["content"].get<std::string>(), "|");
              }
              return text;
            },
        .ask = [this](const std::string& prompt,
                      const std::function<void(absl::string_view)>& on_piece) -> absl::StatusOr<ChatAnswer> {
          asked.push_back(prompt);
          ChatAnswer answer{.text = absl::StrCat("answer ", asked.size()), .stop_reason = "stop"};
          if (!answers.empty()) {
            if (!answers.front().ok()) return answers.front().status();
            answer = *answers.front();
            answers.pop_front();
          }
          on_piece(answer.text);
          return answer;
        }};
    return RunChat(options, callbacks, in, out, hints);
  }

  std::vector<std::string> asked;
  std::deque<absl::StatusOr<ChatAnswer>> answers;
  std::ostringstream out, hints;
};

TEST_F(ChatTest, KeepsTheConversation) {
  ASSERT_TRUE(Run("one\n\ntwo\n").ok());
  EXPECT_THAT(asked, ElementsAre("u:one|", "u:one|a:answer 1|u:two|"));
  EXPECT_EQ(out.str(), "answer 1\nanswer 2\n");
  EXPECT_EQ(hints.str(), "") << "over a pipe nothing but the answers is written";
}

TEST_F(ChatTest, ResetForgetsAllButTheSystemPrompt) {
  ASSERT_TRUE(Run("one\n/reset\n/system Be kind.\ntwo\n/system\nthree\n", {.system = "Be brief."}).ok());
  EXPECT_THAT(asked, ElementsAre("s:Be brief.|u:one|", "s:Be kind.|u:two|", "u:two|a:answer 2|u:three|"));
}

TEST_F(ChatTest, ThePromptOfTheCommandLineIsSaidFirst) {
  ASSERT_TRUE(Run("then\n", {.first = "first"}).ok());
  EXPECT_THAT(asked, ElementsAre("u:first|", "u:first|a:answer 1|u:then|"));
}

TEST_F(ChatTest, ABackslashGoesOnInTheNextLine) {
  ASSERT_TRUE(Run("one\\\ntwo\\\n").ok());
  EXPECT_THAT(asked, ElementsAre("u:one\ntwo|")) << "also where the input ends in it";
}

TEST_F(ChatTest, QuitLeavesTheRestUnread) {
  ASSERT_TRUE(Run("/quit\none\n").ok());
  EXPECT_THAT(asked, IsEmpty());
}

TEST_F(ChatTest, AStoppedAnswerIsPartOfTheConversation) {
  answers = {ChatAnswer{.text = "I was say", .stop_reason = "interrupted"}};
  ASSERT_TRUE(Run("one\ntwo\n", {.prompting = true}).ok());
  EXPECT_EQ(asked[1], "u:one|a:I was say|u:two|");
  EXPECT_THAT(hints.str(), HasSubstr("(stopped)"));
}

TEST_F(ChatTest, WhatCannotBeAnsweredIsTakenBack) {
  answers = {ChatAnswer{.stop_reason = "error", .error = "too long"}};
  ASSERT_TRUE(Run("one\ntwo\n", {.prompting = true}).ok());
  EXPECT_EQ(asked[1], "u:two|");
  EXPECT_THAT(hints.str(), HasSubstr("too long; /reset"));
}

TEST_F(ChatTest, OverAPipeItIsAnError) {
  answers = {ChatAnswer{.stop_reason = "error", .error = "too long"}};
  EXPECT_EQ(Run("one\ntwo\n").message(), "too long");
  EXPECT_THAT(Run("/rest\n").message(), HasSubstr("there is no command /rest"));
}

TEST_F(ChatTest, AnErrorOfTheServiceEndsIt) {
  answers = {absl::UnavailableError("gone")};
  EXPECT_EQ(Run("one\ntwo\n", {.prompting = true}).message(), "gone");
}

}  // namespace
}  // namespace vernier::cli
