// A conversation in the terminal, or over a pipe: what is said becomes the messages that the model's template
// renders, answers come back piece by piece.
#pragma once

#include <functional>
#include <iosfwd>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace vernier::cli {

// A line that was typed. "/" begins a command, "//" a text that begins with "/".
struct ChatInput {
  enum class Kind { kNothing, kSay, kReset, kSystem, kHelp, kQuit, kUnknown };
  Kind kind = Kind::kNothing;
  std::string text;  // what is said; the system prompt ("" = none); the unknown command
};
ChatInput ParseChatLine(absl::string_view line);

// The messages so far, in OpenAI's form. Thread-compatible.
class ChatHistory {
 public:
  // Forgets everything that was said; the system prompt stays.
  void Reset() { said_ = nlohmann::ordered_json::array(); }
  // "": none. What was said stays.
  void SetSystem(std::string system) { system_ = std::move(system); }
  void AddUser(std::string text) { said_.push_back({{"role", "user"}, {"content", std::move(text)}}); }
  void AddAnswer(std::string text) { said_.push_back({{"role", "assistant"}, {"content", std::move(text)}}); }
  // The newest message was not answered.
  void DropNewest();
  nlohmann::ordered_json messages() const;
  bool empty() const { return said_.empty(); }

 private:
  std::string system_;
  nlohmann::ordered_json said_ = nlohmann::ordered_json::array();
};

// How an answer ended.
struct ChatAnswer {
  std::string text;
  std::string stop_reason;  // stop | length | interrupted | error
  std::string error;        // of stop_reason error: what to tell the user
};

struct ChatCallbacks {
  // The messages as the text that the model goes on from.
  std::function<absl::StatusOr<std::string>(const nlohmann::ordered_json& messages)> render;
  // Answers it; `on_piece` is called as text comes. An error ends the conversation.
  std::function<absl::StatusOr<ChatAnswer>(const std::string& prompt,
                                           const std::function<void(absl::string_view)>& on_piece)>
      ask;
};

struct ChatOptions {
  std::string system;
  std::string first;       // said before the first line is read; "" = nothing
  bool prompting = false;  // somebody types: prompts and hints are shown
};

// Until the end of `in` or /quit. Lines that end in "\" go on in the next one. Answers go to `out`, prompts
// and hints to `hints`. InvalidArgument: an unknown command, where nobody could correct it.
absl::Status RunChat(const ChatOptions& options, const ChatCallbacks& callbacks, std::istream& in,
                     std::ostream& out, std::ostream& hints);

}  // namespace vernier::cli
