#include "client/cli/chat.h"

#include <istream>
#include <ostream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status_macros.h"

namespace vernier::cli {
namespace {

constexpr absl::string_view kHelp =
    "  /reset          forget what was said\n"
    "  /system TEXT    set the system prompt (without TEXT: none); what was said stays\n"
    "  /quit           leave (also Ctrl-D)\n"
    "  //...           say something that begins with /\n"
    "  a line that ends in \\ goes on in the next one; Ctrl-C stops an answer\n";

class Chat {
 public:
  Chat(const ChatOptions& options, const ChatCallbacks& callbacks, std::istream& in, std::ostream& out,
       std::ostream& hints)
      : options_(options), callbacks_(callbacks), in_(in), out_(out), hints_(hints) {
    history_.SetSystem(options.system);
  }

  absl::Status Run() {
    if (options_.prompting) hints_ << "/help lists the commands, /quit leaves\n";
    if (!options_.first.empty()) VN_RETURN_IF_ERROR(Say(options_.first));
    std::string line;
    while (ReadEntry(line)) {
      const ChatInput input = ParseChatLine(line);
      if (input.kind == ChatInput::Kind::kQuit) return absl::OkStatus();
      VN_RETURN_IF_ERROR(Obey(input));
    }
    if (options_.prompting) hints_ << "\n";
    return absl::OkStatus();
  }

 private:
  // A line with those that continue it.
  bool ReadEntry(std::string& entry) {
    entry.clear();
    std::string line;
    for (bool more = true; more;) {
      if (options_.prompting) hints_ << (entry.empty() ? "> " : ". ") << std::flush;
      if (!std::getline(in_, line)) return !entry.empty();
      more = absl::EndsWith(line, "\\");
      if (more) line.pop_back();
      absl::StrAppend(&entry, line, more ? "\n" : "");
    }
    return true;
  }

  absl::Status Obey(const ChatInput& input) {
    switch (input.kind) {
      case ChatInput::Kind::kSay:
        return Say(input.text);
      case ChatInput::Kind::kReset:
        history_.Reset();
        Hint("forgotten\n");
        return absl::OkStatus();
      case ChatInput::Kind::kSystem:
        history_.SetSystem(input.text);
        Hint(input.text.empty() ? "no system prompt\n" : "the system prompt is set\n");
        return absl::OkStatus();
      case ChatInput::Kind::kHelp:
        hints_ << kHelp;
        return absl::OkStatus();
      case ChatInput::Kind::kUnknown: {
        const std::string what =
            absl::StrCat("there is no command ", input.text, "; /help lists them, // begins a text with /");
        if (!options_.prompting) return absl::InvalidArgumentError(what);
        hints_ << what << "\n";
        return absl::OkStatus();
      }
      default:
        return absl::OkStatus();
    }
  }

  void Hint(absl::string_view text) {
    if (options_.prompting) hints_ << text;
  }

  absl::Status Say(const std::string& text) {
    history_.AddUser(text);
    VN_ASSIGN_OR_RETURN(const std::string prompt, callbacks_.render(history_.messages()));
    VN_ASSIGN_OR_RETURN(ChatAnswer answer, callbacks_.ask(prompt, [this](absl::string_view piece) {
      out_ << piece << std::flush;
    }));
    if (answer.stop_reason == "error") {
      // What was said is taken back: the next line may be shorter, or /reset may come first.
      history_.DropNewest();
      if (!options_.prompting) return absl::InvalidArgumentError(answer.error);
      hints_ << answer.error << "; /reset forgets what was said\n";
      return absl::OkStatus();
    }
    out_ << "\n" << std::flush;
    if (answer.stop_reason == "length") Hint("(cut at --max-new-tokens)\n");
    if (answer.stop_reason == "interrupted") Hint("(stopped)\n");
    history_.AddAnswer(std::move(answer.text));
    return absl::OkStatus();
  }

  const ChatOptions& options_;
  const ChatCallbacks& callbacks_;
  std::istream& in_;
  std::ostream& out_;
  std::ostream& hints_;
  ChatHistory history_;
};

}  // namespace

ChatInput ParseChatLine(absl::string_view line) {
  const absl::string_view text = absl::StripAsciiWhitespace(line);
  if (text.empty()) return {};
  if (absl::StartsWith(text, "//")) return {ChatInput::Kind::kSay, std::string(text.substr(1))};
  if (!absl::StartsWith(text, "/")) return {ChatInput::Kind::kSay, std::string(text)};
  const size_t end = text.find_first_of(" \t\n");
  const absl::string_view command = text.substr(0, end);
  const std::string rest(end == text.npos ? "" : absl::StripAsciiWhitespace(text.substr(end)));
  if (command == "/system") return {ChatInput::Kind::kSystem, rest};
  const std::pair<absl::string_view, ChatInput::Kind> plain[] = {{"/reset", ChatInput::Kind::kReset},
                                                                 {"/help", ChatInput::Kind::kHelp},
                                                                 {"/quit", ChatInput::Kind::kQuit},
                                                                 {"/exit", ChatInput::Kind::kQuit}};
  for (const auto& [name, kind] : plain) {
    if (command == name && rest.empty()) return {kind, ""};
  }
  return {ChatInput::Kind::kUnknown, std::string(command)};
}

void ChatHistory::DropNewest() {
  if (!said_.empty()) said_.erase(said_.size() - 1);
}

nlohmann::ordered_json ChatHistory::messages() const {
  nlohmann::ordered_json messages = nlohmann::ordered_json::array();
  if (!system_.empty()) messages.push_back({{"role", "system"}, {"content", system_}});
  for (const nlohmann::ordered_json& message : said_) messages.push_back(message);
  return messages;
}

absl::Status RunChat(const ChatOptions& options, const ChatCallbacks& callbacks, std::istream& in,
                     std::ostream& out, std::ostream& hints) {
  return Chat(options, callbacks, in, out, hints).Run();
}

}  // namespace vernier::cli
