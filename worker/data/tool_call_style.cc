#include "worker/data/tool_call_style.h"

#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "worker/data/absent_text.h"
#include "worker/data/text/jinja_json.h"

namespace vernier::data {
namespace {

void EmptyForNull(Json& messages) {
  for (Json& message : messages) {
    const auto content = message.find("content");
    if (content == message.end() ? message.contains("tool_calls") : content->is_null())
      message["content"] = "";
  }
}

// json.dumps(value, ensure_ascii=False).
std::string PythonJson(const Json& value) {
  jinja::Budget budget;
  const absl::StatusOr<jinja::Value> object = jinja::Value::FromJson(value);
  absl::StatusOr<std::string> text =
      object.ok() ? jinja::ToJson(*object, {}, budget) : absl::StatusOr<std::string>(object.status());
  return text.ok() ? *std::move(text) : value.dump();
}

void ArgumentsAsText(Json& messages) {
  for (Json& message : messages) {
    const auto calls = message.find("tool_calls");
    if (calls == message.end()) continue;
    for (Json& call : *calls) {
      Json& function = call.contains("function") ? call["function"] : call;
      const auto arguments = function.find("arguments");
      if (arguments != function.end()) *arguments = PythonJson(*arguments);
    }
  }
}

}  // namespace

bool HasToolCalls(const Json& messages) {
  for (const Json& message : messages) {
    if (message.contains("tool_calls")) return true;
  }
  return false;
}

std::vector<Json> OtherToolCallStyles(const Json& messages) {
  std::vector<Json> styles;
  Json empty = messages, text = messages;
  EmptyForNull(empty);
  ArgumentsAsText(text);
  Json both = text;
  EmptyForNull(both);
  styles.push_back(std::move(empty));
  styles.push_back(std::move(text));
  styles.push_back(std::move(both));
  return styles;
}

bool WantsParts(const ChatTemplate& chat_template) {
  const std::string text = AbsentText("");
  Json messages = Json::array({{{"role", "user"}, {"content", text}}});
  const auto shows = [&] {
    const absl::StatusOr<RenderedChat> chat = chat_template.Render(messages, nullptr, false);
    return chat.ok() && absl::StrContains(chat->text, text);
  };
  if (shows()) return false;
  ContentInParts(messages);
  return shows();
}

void ContentInParts(Json& messages) {
  for (Json& message : messages) {
    const auto content = message.find("content");
    if (content == message.end() || !content->is_string()) continue;
    *content = Json::array({{{"type", "text"}, {"text", *content}}});
  }
}

}  // namespace vernier::data
