#include "worker/data/messages.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/tools.h"

namespace vernier::data {
namespace {

constexpr absl::string_view kMessageKeys[] = {"role", "content", "weight", "name", "tool_calls",
                                              "tool_call_id", "function_call",
                                              // What published templates read of an answer's thinking.
                                              "reasoning_content", "reasoning", "thinking"};
constexpr absl::string_view kRoles[] = {"system", "developer", "user", "assistant", "tool", "function"};

// Who speaks in ShareGPT's files. kCall: the value is a tool call as JSON.
constexpr absl::string_view kCall = "call";
struct Speaker {
  absl::string_view from, role;
};
constexpr Speaker kSpeakers[] = {
    {"human", "user"},         {"user", "user"},
    {"gpt", "assistant"},      {"assistant", "assistant"},
    {"chatgpt", "assistant"},  {"model", "assistant"},
    {"bot", "assistant"},      {"bard", "assistant"},
    {"bing", "assistant"},     {"claude", "assistant"},
    {"system", "system"},      {"developer", "developer"},
    {"tool", "tool"},          {"observation", "tool"},
    {"tool_response", "tool"}, {"function_response", "tool"},
    {"function_call", kCall},  {"tool_call", kCall},
};

// A slip for a key that is absent would be a key that nobody reads.
absl::Status CheckKeys(const Json& object) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(std::begin(kMessageKeys), std::end(kMessageKeys), key) != std::end(kMessageKeys)) continue;
    for (const absl::string_view name : kMessageKeys) {
      if (!object.contains(std::string(name)) && LooksLikeSlip(key, name)) {
        return absl::InvalidArgumentError(
            absl::StrCat("unknown key \"", Excerpt(key, 40), "\"; did you mean \"", name, "\"?"));
      }
    }
  }
  return absl::OkStatus();
}

// A string, or the text of OpenAI's content parts.
absl::StatusOr<std::string> ContentOf(const Json& content, absl::string_view where) {
  if (content.is_null()) return std::string();
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ".content is ", KindOfJson(content), "; it must be a string"));
  }
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    const Json& part = content[i];
    const bool typed = part.is_object() && part.contains("type") && part["type"].is_string();
    const std::string type = typed ? part["type"].get<std::string>() : "";
    if (type == "refusal" && part.contains("refusal") && part["refusal"].is_string()) {
      text += part["refusal"].get<std::string>();
      continue;
    }
    if ((type != "text" && type != "input_text" && type != "output_text") || !part.contains("text") ||
        !part["text"].is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ".content[", i, "] is not a text part; only text can be trained on"));
    }
    text += part["text"].get<std::string>();
  }
  return text;
}

void DropNullFields(Json& message) {
  for (auto it = message.begin(); it != message.end();) {
    it = it->is_null() && it.key() != "content" ? message.erase(it) : std::next(it);
  }
}

absl::Status ReadRole(const std::string& where, Message& message) {
  const auto it = message.object.find("role");
  if (it == message.object.end()) return absl::InvalidArgumentError(absl::StrCat(where, " has no role"));
  if (!it->is_string()) return absl::InvalidArgumentError(absl::StrCat(where, ".role is not a string"));
  message.role = it->get<std::string>();
  if (std::find(std::begin(kRoles), std::end(kRoles), message.role) != std::end(kRoles))
    return absl::OkStatus();
  const std::vector<std::string> roles(std::begin(kRoles), std::end(kRoles));
  return absl::InvalidArgumentError(absl::StrCat(where, ": unknown role \"", Excerpt(message.role, 40), "\"",
                                                 DidYouMean(message.role, roles),
                                                 "; known: ", absl::StrJoin(kRoles, ", ")));
}

// tool_calls checked, and the older function_call in their form.
absl::Status ReadToolCalls(const std::string& where, Message& message, std::vector<std::string>* remarks) {
  Json& object = message.object;
  if (const auto it = object.find("function_call"); it != object.end()) {
    if (object.contains("tool_calls"))
      return absl::InvalidArgumentError(
          absl::StrCat(where, " has both tool_calls and function_call; keep one"));
    Json function = std::move(*it);
    object.erase("function_call");
    object["tool_calls"] = Json::array({Json{{"type", "function"}, {"function", std::move(function)}}});
    AddRemark("function_call is read as tool_calls", remarks);
  }
  const auto it = object.find("tool_calls");
  if (it == object.end()) return absl::OkStatus();
  bool was_text = false;
  VN_ASSIGN_OR_RETURN(*it, DecodeJsonText(std::move(*it), absl::StrCat(where, ".tool_calls"), &was_text));
  if (!it->is_array())
    return absl::InvalidArgumentError(
        absl::StrCat(where, ".tool_calls is ", KindOfJson(*it), "; it must be an array"));
  // None is the same as no field: tables and serving engines write it for every message.
  if (it->empty()) {
    object.erase("tool_calls");
    return absl::OkStatus();
  }
  if (message.role != "assistant")
    return absl::InvalidArgumentError(absl::StrCat(where, ": only assistant messages have tool_calls"));
  return NormaliseToolCalls(*it, where, remarks);
}

absl::Status ReadWeight(const std::string& where, Message& message) {
  const auto it = message.object.find("weight");
  if (it == message.object.end()) return absl::OkStatus();
  message.weight = it->is_number() ? it->get<double>() : -1.0;
  // Kept within fp32, with room for sums.
  if (!std::isfinite(message.weight) || message.weight < 0 || message.weight > 1e6) {
    return absl::InvalidArgumentError(absl::StrCat(
        where, ".weight = ", Excerpt(it->dump(-1, ' ', false, Json::error_handler_t::replace), 40),
        " is not a number in [0, 1000000]"));
  }
  if (message.role != "assistant" && message.weight != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        where, ".weight is on a ", message.role, " message; only assistant messages are trained: remove it"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Message> ParseMessage(Json json, const std::string& where, std::vector<std::string>* remarks) {
  VN_RETURN_IF_ERROR(Annotate(CheckKeys(json), where));
  Message message;
  message.object = std::move(json);
  DropNullFields(message.object);
  VN_RETURN_IF_ERROR(ReadRole(where, message));
  if (message.role == "function") {
    message.object["role"] = message.role = "tool";
    AddRemark("messages of role function are read as role tool", remarks);
  }
  VN_RETURN_IF_ERROR(ReadToolCalls(where, message, remarks));
  const bool calls = CallsTools(message);
  const auto content = message.object.find("content");
  if (content == message.object.end()) {
    if (!calls) return absl::InvalidArgumentError(absl::StrCat(where, " has no content"));
  } else {
    VN_ASSIGN_OR_RETURN(message.content, ContentOf(*content, where));
    if (content->is_array()) {
      if (content->size() > 1) AddRemark("content in several parts is joined to one text", remarks);
      *content = message.content;
    }
  }
  // An empty system message (it silences a template's own) and an empty tool result mean something.
  const bool may_be_empty =
      calls || message.role == "system" || message.role == "developer" || message.role == "tool";
  if (!may_be_empty && absl::StripAsciiWhitespace(message.content).empty()) {
    return absl::InvalidArgumentError(absl::StrCat(where, " (", message.role, ") has empty content"));
  }
  // Null says "called tools, said nothing"; of other messages it is an empty text.
  if (!calls && content != message.object.end() && content->is_null()) *content = "";
  if (const auto name = message.object.find("name"); name != message.object.end()) {
    if (!name->is_string()) return absl::InvalidArgumentError(absl::StrCat(where, ".name is not a string"));
    message.name = name->get<std::string>();
  }
  VN_RETURN_IF_ERROR(ReadWeight(where, message));
  return message;
}

// {"from", "value", ...} -> {"role", "content", ...}.
absl::StatusOr<Json> FromShareGpt(Json turn, const std::string& where, std::vector<std::string>* remarks) {
  for (const auto& [key, field] : turn.items()) {
    if (key == "from" || key == "value" || key == "weight" || field.is_null()) continue;
    AddRemark("turns have fields besides from, value and weight; they are not used", remarks);
  }
  const auto from = turn.find("from");
  const auto value = turn.find("value");
  if (from == turn.end() || !from->is_string()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, from == turn.end() ? " has no from" : ".from is not a string",
                     "; a turn is {\"from\": \"human\" or \"gpt\", \"value\"}"));
  }
  if (value == turn.end()) return absl::InvalidArgumentError(absl::StrCat(where, " has no value"));
  const std::string name = absl::AsciiStrToLower(from->get_ref<const std::string&>());
  const auto* const speaker = std::find_if(std::begin(kSpeakers), std::end(kSpeakers),
                                           [&](const Speaker& known) { return known.from == name; });
  if (speaker == std::end(kSpeakers)) {
    std::vector<std::string> known;
    for (const Speaker& one : kSpeakers) known.emplace_back(one.from);
    return absl::InvalidArgumentError(absl::StrCat(where, ": unknown speaker \"", Excerpt(name, 40), "\"",
                                                   DidYouMean(name, known),
                                                   "; known: ", absl::StrJoin(known, ", ")));
  }
  Json message = Json::object();
  if (speaker->role == kCall) {
    bool was_text = false;
    VN_ASSIGN_OR_RETURN(Json calls,
                        DecodeJsonText(std::move(*value), absl::StrCat(where, ".value"), &was_text));
    if (calls.is_object()) calls = Json::array({std::move(calls)});
    if (!calls.is_array() || calls.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ".value is no tool call; write {\"name\": ..., \"arguments\": {...}} as JSON"));
    }
    message["role"] = "assistant";
    message["content"] = nullptr;
    for (Json& call : calls) {
      if (call.is_object() && !call.contains("function"))
        call = Json{{"type", "function"}, {"function", std::move(call)}};
    }
    message["tool_calls"] = std::move(calls);
  } else {
    message["role"] = std::string(speaker->role);
    message["content"] = std::move(*value);
  }
  if (const auto weight = turn.find("weight"); weight != turn.end()) message["weight"] = std::move(*weight);
  return message;
}

}  // namespace

absl::string_view KindOfJson(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_boolean()) return "a boolean";
  if (value.is_number()) return "a number";
  if (value.is_string()) return "a string";
  return value.is_array() ? "an array" : "an object";
}

void AddRemark(std::string remark, std::vector<std::string>* remarks) {
  if (std::find(remarks->begin(), remarks->end(), remark) == remarks->end())
    remarks->push_back(std::move(remark));
}

absl::StatusOr<Json> DecodeJsonText(Json value, absl::string_view where, bool* was_text) {
  *was_text = value.is_string();
  if (!*was_text) return value;
  const std::string& text = value.get_ref<const std::string&>();
  absl::StatusOr<Json> json = ParseBoundedJson(text);
  if (json.ok()) return json;
  const absl::string_view start = absl::StripLeadingAsciiWhitespace(text);
  const bool python = absl::StartsWith(start, "[{'") || absl::StartsWith(start, "{'");
  return absl::InvalidArgumentError(
      absl::StrCat(where, " is text and not that of JSON",
                   python ? ": it looks like Python's repr; write it with json.dumps"
                          : absl::StrCat(": ", json.status().message())));
}

absl::StatusOr<std::vector<Message>> ParseMessages(Json list, absl::string_view where,
                                                   std::vector<std::string>* remarks) {
  bool was_text = false;
  VN_ASSIGN_OR_RETURN(list, DecodeJsonText(std::move(list), where, &was_text));
  if (was_text) AddRemark(absl::StrCat(where, " are JSON text; read as JSON"), remarks);
  if (!list.is_array()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, " is ", KindOfJson(list), "; it must be an array of {role, content}"));
  }
  if (list.empty()) return absl::InvalidArgumentError(absl::StrCat(where, " is empty"));
  if (list.size() > static_cast<size_t>(kMaxMessages)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the row has ", list.size(), " messages; the limit is ", kMaxMessages));
  }
  std::vector<Message> messages;
  messages.reserve(list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string at = absl::StrCat(where, "[", i, "]");
    Json json = std::move(list[i]);
    if (!json.is_object())
      return absl::InvalidArgumentError(absl::StrCat(at, " is ", KindOfJson(json), "; it must be an object"));
    if (!json.contains("role") && json.contains("from")) {
      VN_ASSIGN_OR_RETURN(json, FromShareGpt(std::move(json), at, remarks));
    }
    VN_ASSIGN_OR_RETURN(Message message, ParseMessage(std::move(json), at, remarks));
    messages.push_back(std::move(message));
  }
  return messages;
}

Message PlainMessage(absl::string_view role, std::string content) {
  Message message;
  message.role = std::string(role);
  message.content = std::move(content);
  message.object = Json{{"role", message.role}, {"content", message.content}};
  return message;
}

absl::Status CheckRoleOrder(const std::vector<Message>& messages, absl::string_view where) {
  absl::string_view previous;
  bool calls = false;
  for (size_t i = 0; i < messages.size(); ++i) {
    absl::string_view role = messages[i].role;
    if (role == "developer") role = "system";
    bool good = true;
    absl::string_view want;
    if (role == "system") {
      good = i == 0;
      want = "a system message comes first only";
    } else if (previous.empty() || previous == "system") {
      good = role == "user";
      want = "a conversation starts with user (after an optional system message)";
    } else if (previous == "user") {
      good = role == "assistant";
      want = "assistant follows user";
    } else if (previous == "assistant") {
      good = role == "user" || (calls && role == "tool");
      want = calls ? "tool or user follows an assistant with tool_calls" : "user follows assistant";
    } else {
      want = "tool, assistant or user follows tool";
    }
    if (!good) {
      return absl::InvalidArgumentError(
          absl::StrCat("wrong role order: ", where, "[", i, "] is ", messages[i].role,
                       i == 0 ? "" : absl::StrCat(" after ", messages[i - 1].role), "; ", want));
    }
    previous = role;
    calls = CallsTools(messages[i]);
  }
  return absl::OkStatus();
}

bool CallsTools(const Message& message) {
  const auto it = message.object.find("tool_calls");
  return it != message.object.end() && !it->empty();
}

}  // namespace vernier::data
