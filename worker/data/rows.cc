#include "worker/data/rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/digest.h"
#include "common/status_macros.h"
#include "common/text.h"

namespace vernier::data {
namespace {

constexpr std::array<absl::string_view, 8> kColumns = {
    "messages", "prompt", "completion", "text", "tools", "id", "functions", "parallel_tool_calls"};
constexpr std::array<absl::string_view, 7> kMessageKeys = {
    "role", "content", "weight", "name", "tool_calls", "tool_call_id", "function_call"};
constexpr std::array<absl::string_view, 6> kRoles = {"system",    "developer", "user",
                                                     "assistant", "tool",      "function"};

absl::Status Bad(absl::string_view reason) { return absl::InvalidArgumentError(reason); }

// Lower case, letters and digits only: "Prompts", "prompt_" and "prompt" are near each other.
std::string Bare(absl::string_view name) {
  std::string bare;
  for (const char c : name) {
    if (absl::ascii_isalnum(c)) bare.push_back(absl::ascii_tolower(c));
  }
  return bare;
}

// Whether `name` looks like a slip for `known`. Stricter than DidYouMean: "test" is no slip for "text".
bool LooksLike(absl::string_view name, absl::string_view known) {
  const std::string a = Bare(name), b = Bare(known);
  if (a.empty()) return false;
  if (a == b || a == b + "s" || a + "s" == b) return true;
  const int allowed = b.size() >= 8 ? 2 : b.size() >= 6 ? 1 : 0;
  return allowed > 0 && EditDistance(a, b) <= allowed;
}

// An error when a key of `object` is a near miss of a known key that is absent; else `unused` gets the
// others.
absl::Status CheckKeys(const Json& object, absl::Span<const absl::string_view> known, absl::string_view what,
                       std::vector<std::string>* unused) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    for (const absl::string_view name : known) {
      if (!object.contains(std::string(name)) && LooksLike(key, name)) {
        return Bad(
            absl::StrCat("unknown ", what, " \"", Excerpt(key, 40), "\"; did you mean \"", name, "\"?"));
      }
    }
    if (unused != nullptr) unused->push_back(key);
  }
  return absl::OkStatus();
}

absl::string_view KindOf(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_boolean()) return "a boolean";
  if (value.is_number()) return "a number";
  if (value.is_string()) return "a string";
  return value.is_array() ? "an array" : "an object";
}

absl::StatusOr<std::string> TextOf(const Json& row, const char* column) {
  const Json& value = row.at(column);
  if (!value.is_string()) return Bad(absl::StrCat(column, " is ", KindOf(value), "; it must be a string"));
  std::string text = value.get<std::string>();
  if (text.empty()) return Bad(absl::StrCat(column, " is empty"));
  return text;
}

// A string, or the text of OpenAI's content parts.
absl::StatusOr<std::string> ContentOf(const Json& content, absl::string_view where) {
  if (content.is_null()) return std::string();
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) {
    return Bad(absl::StrCat(where, ".content is ", KindOf(content), "; it must be a string"));
  }
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    const Json& part = content[i];
    if (!part.is_object() || !part.contains("type") || part["type"] != "text" || !part.contains("text") ||
        !part["text"].is_string()) {
      return Bad(absl::StrCat(where, ".content[", i, "] is not a text part; only text can be trained on"));
    }
    text += part["text"].get<std::string>();
  }
  return text;
}

bool HasToolCalls(const Json& message) {
  const auto filled = [&](const char* key) {
    const auto it = message.find(key);
    return it != message.end() && !it->is_null() && !it->empty();
  };
  return filled("tool_calls") || filled("function_call");
}

absl::StatusOr<Message> ParseMessage(const Json& json, size_t index) {
  const std::string where = absl::StrCat("messages[", index, "]");
  if (!json.is_object()) return Bad(absl::StrCat(where, " is ", KindOf(json), "; it must be an object"));
  VN_RETURN_IF_ERROR(Annotate(CheckKeys(json, kMessageKeys, "key", nullptr), where));
  if (!json.contains("role")) {
    return Bad(absl::StrCat(
        where, " has no role",
        json.contains("from") ? "; rename \"from\" to \"role\" and \"value\" to \"content\"" : ""));
  }
  if (!json["role"].is_string()) return Bad(absl::StrCat(where, ".role is not a string"));
  Message message;
  message.role = json["role"].get<std::string>();
  if (std::find(kRoles.begin(), kRoles.end(), message.role) == kRoles.end()) {
    const std::vector<std::string> roles(kRoles.begin(), kRoles.end());
    return Bad(absl::StrCat(where, ": unknown role \"", Excerpt(message.role, 40), "\"",
                            DidYouMean(message.role, roles), "; known: ", absl::StrJoin(kRoles, ", ")));
  }
  message.object = json;
  const bool calls = HasToolCalls(json);
  if (calls && message.role != "assistant") {
    return Bad(absl::StrCat(where, ": only assistant messages have tool_calls"));
  }
  if (!json.contains("content") && !calls) return Bad(absl::StrCat(where, " has no content"));
  if (json.contains("content")) {
    VN_ASSIGN_OR_RETURN(message.content, ContentOf(json["content"], where));
    message.object["content"] = message.content;
  }
  // An empty system message (it silences a template's own) and an empty tool result mean something.
  const bool may_be_empty = calls || message.role == "system" || message.role == "developer" ||
                            message.role == "tool" || message.role == "function";
  if (!may_be_empty && absl::StripAsciiWhitespace(message.content).empty()) {
    return Bad(absl::StrCat(where, " (", message.role, ") has empty content"));
  }
  if (json.contains("name") && !json["name"].is_null()) {
    if (!json["name"].is_string()) return Bad(absl::StrCat(where, ".name is not a string"));
    message.name = json["name"].get<std::string>();
  }
  if (json.contains("weight") && !json["weight"].is_null()) {
    const Json& weight = json["weight"];
    message.weight = weight.is_number() ? weight.get<double>() : -1.0;
    // Kept within fp32, with room for sums.
    if (!std::isfinite(message.weight) || message.weight < 0 || message.weight > 1e6) {
      return Bad(
          absl::StrCat(where, ".weight = ", Excerpt(weight.dump(), 40), " is not a number in [0, 1000000]"));
    }
    if (message.role != "assistant" && message.weight != 0) {
      return Bad(absl::StrCat(where, ".weight is on a ", message.role,
                              " message; only assistant messages are trained: remove it"));
    }
  }
  return message;
}

absl::Status CheckOrder(const std::vector<Message>& messages) {
  absl::string_view previous;
  bool calls = false;
  for (size_t i = 0; i < messages.size(); ++i) {
    absl::string_view role = messages[i].role;
    if (role == "developer") role = "system";
    if (role == "function") role = "tool";
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
      return Bad(absl::StrCat("wrong role order: messages[", i, "] is ", messages[i].role,
                              i == 0 ? "" : absl::StrCat(" after ", messages[i - 1].role), "; ", want));
    }
    previous = role;
    calls = HasToolCalls(messages[i].object);
  }
  return absl::OkStatus();
}

absl::Status ParseMessages(const Json& json, Row& row) {
  const Json& messages = json["messages"];
  if (!messages.is_array()) {
    return Bad(absl::StrCat("messages is ", KindOf(messages), "; it must be an array of {role, content}"));
  }
  if (messages.empty()) return Bad("messages is empty");
  if (messages.size() > static_cast<size_t>(kMaxMessages)) {
    return Bad(absl::StrCat("the row has ", messages.size(), " messages; the limit is ", kMaxMessages));
  }
  row.messages.reserve(messages.size());
  for (size_t i = 0; i < messages.size(); ++i) {
    VN_ASSIGN_OR_RETURN(Message message, ParseMessage(messages[i], i));
    row.messages.push_back(std::move(message));
  }
  VN_RETURN_IF_ERROR(CheckOrder(row.messages));
  if (json.contains("tools") && !json["tools"].is_null()) {
    if (!json["tools"].is_array())
      return Bad(absl::StrCat("tools is ", KindOf(json["tools"]), "; it must be an array"));
    row.tools = json["tools"];
  } else if (json.contains("functions") && !json["functions"].is_null()) {
    if (!json["functions"].is_array()) return Bad("functions is not an array");
    row.tools = Json::array();
    for (const Json& function : json["functions"]) {
      row.tools.push_back(Json{{"type", "function"}, {"function", function}});
    }
  }
  return absl::OkStatus();
}

// An id, kept as JSON, for a message.
std::string ShowId(absl::string_view id) {
  if (id.size() < 2 || id.front() != '"') return Excerpt(id, 60);
  return absl::StrCat("\"", Excerpt(id.substr(1, id.size() - 2), 60), "\"");
}

void MarkUnused(const Json& json, std::initializer_list<const char*> columns, Row& row) {
  for (const char* column : columns) {
    if (json.contains(column)) row.unused_columns.push_back(column);
  }
}

}  // namespace

absl::string_view RowFormatName(RowFormat format) {
  switch (format) {
    case RowFormat::kMessages:
      return "messages";
    case RowFormat::kPromptCompletion:
      return "prompt_completion";
    case RowFormat::kText:
      return "text";
  }
  return "unknown";
}

std::string Row::ContentDigest() const {
  nlohmann::json content;  // sorted keys
  switch (format) {
    case RowFormat::kMessages: {
      content["messages"] = nlohmann::json::array();
      for (const Message& message : messages) content["messages"].push_back(nlohmann::json(message.object));
      if (!tools.is_null()) content["tools"] = nlohmann::json(tools);
      break;
    }
    case RowFormat::kPromptCompletion:
      content = {{"prompt", prompt}, {"completion", completion}};
      break;
    case RowFormat::kText:
      content = {{"text", text}};
      break;
  }
  return Sha256Hex(content.dump());
}

absl::StatusOr<Row> ParseRow(absl::string_view line) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  VN_ASSIGN_OR_RETURN(const Json json, ParseBoundedJson(line));
  if (!json.is_object()) {
    return Bad(absl::StrCat("the line is ", KindOf(json), "; JSONL has one JSON object a line"));
  }
  Row row;
  VN_RETURN_IF_ERROR(CheckKeys(json, kColumns, "column", &row.unused_columns));
  if (json.contains("id") && !json["id"].is_null()) {
    if (!json["id"].is_string() && !json["id"].is_number()) return Bad("id is neither a string nor a number");
    row.id = json["id"].dump();
  }
  if (json.contains("messages")) {
    row.format = RowFormat::kMessages;
    VN_RETURN_IF_ERROR(ParseMessages(json, row));
    MarkUnused(json, {"prompt", "completion", "text", "parallel_tool_calls"}, row);
  } else if (json.contains("prompt") && json.contains("completion")) {
    row.format = RowFormat::kPromptCompletion;
    VN_ASSIGN_OR_RETURN(row.prompt, TextOf(json, "prompt"));
    VN_ASSIGN_OR_RETURN(row.completion, TextOf(json, "completion"));
    MarkUnused(json, {"text", "tools", "functions", "parallel_tool_calls"}, row);
  } else if (json.contains("prompt") || json.contains("completion")) {
    return Bad(json.contains("prompt") ? "the row has prompt but no completion"
                                       : "the row has completion but no prompt");
  } else if (json.contains("text")) {
    row.format = RowFormat::kText;
    VN_ASSIGN_OR_RETURN(row.text, TextOf(json, "text"));
    MarkUnused(json, {"tools", "functions", "parallel_tool_calls"}, row);
  } else {
    std::vector<std::string> columns;
    for (const auto& [key, value] : json.items()) {
      if (columns.size() < 8) columns.push_back(Excerpt(key, 40));
    }
    return Bad(
        absl::StrCat("the row has none of messages, prompt + completion, text; its columns: ",
                     columns.empty() ? "none" : absl::StrJoin(columns, ", "),
                     json.contains("conversations") ? "; rename \"conversations\" to \"messages\"" : ""));
  }
  return row;
}

absl::Status RowSetChecker::Add(int64_t line, const Row& row) {
  if (!format_.has_value()) {
    format_ = row.format;
    format_line_ = line;
  } else if (*format_ != row.format) {
    return Bad(absl::StrCat("mixed formats: this row is ", RowFormatName(row.format), ", line ", format_line_,
                            " is ", RowFormatName(*format_), "; a dataset has one format"));
  }
  if (row.id.has_value()) {
    const auto [it, inserted] = id_lines_.try_emplace(*row.id, line);
    if (!inserted) {
      return Bad(absl::StrCat("duplicate id ", ShowId(*row.id), ": line ", it->second, " has it too"));
    }
  }
  for (const std::string& column : row.unused_columns) {
    if (unused_.size() < 64) unused_.insert(Excerpt(column, 40));
  }
  const auto [it, inserted] = content_lines_.try_emplace(row.ContentDigest().substr(0, 32), line);
  if (!inserted && num_duplicates_++ == 0) {
    first_duplicate_line_ = line;
    first_original_line_ = it->second;
  }
  return absl::OkStatus();
}

std::vector<std::string> RowSetChecker::Notes() const {
  std::vector<std::string> notes;
  if (!unused_.empty()) notes.push_back(absl::StrCat("columns not used: ", absl::StrJoin(unused_, ", ")));
  if (num_duplicates_ > 0) {
    notes.push_back(absl::StrCat(num_duplicates_, " rows repeat the content of an earlier row (first: line ",
                                 first_duplicate_line_, " repeats line ", first_original_line_,
                                 "); they are kept"));
  }
  return notes;
}

}  // namespace vernier::data
