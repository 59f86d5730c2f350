#include "worker/data/rows.h"

#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/data/messages.h"
#include "worker/data/tools.h"

namespace vernier::data {
namespace {

// Turns the columns of one row into a Row, field by field.
class RowReader {
 public:
  RowReader(Json json, const RowOptions& options) : json_(std::move(json)), options_(options) {}

  absl::StatusOr<Row> Read() {
    const std::optional<RowForm> form = RecogniseForm(
        [&](absl::string_view column) { return json_.contains(std::string(column)); }, options_);
    std::vector<std::string> columns;
    for (const auto& [key, value] : json_.items()) columns.push_back(key);
    VN_ASSIGN_OR_RETURN(row_.unused_columns, JudgeColumns(columns, options_, form));
    row_.form = *form;
    VN_RETURN_IF_ERROR(ReadId());
    switch (*form) {
      case RowForm::kMessages:
        VN_RETURN_IF_ERROR(ReadConversation("messages"));
        break;
      case RowForm::kShareGpt:
        VN_RETURN_IF_ERROR(ReadConversation("conversations"));
        break;
      case RowForm::kPreference:
        VN_RETURN_IF_ERROR(ReadPreference());
        break;
      case RowForm::kAlpaca:
        VN_RETURN_IF_ERROR(ReadAlpaca());
        break;
      case RowForm::kPromptCompletion:
        VN_RETURN_IF_ERROR(ReadPair());
        break;
      case RowForm::kText: {
        row_.format = RowFormat::kText;
        VN_ASSIGN_OR_RETURN(row_.text, TakeText("text"));
        break;
      }
    }
    return std::move(row_);
  }

 private:
  // The value of a field, null when the row has none.
  Json Take(absl::string_view field) {
    const absl::string_view column = ColumnOf(options_, field);
    const auto it = column.empty() ? json_.end() : json_.find(std::string(column));
    return it == json_.end() ? Json() : std::move(*it);
  }

  // A field's name with its column's, where they differ.
  std::string NameOf(absl::string_view field) const {
    const absl::string_view column = ColumnOf(options_, field);
    return column == field || column.empty() ? std::string(field)
                                             : absl::StrCat(field, " (column \"", Excerpt(column, 40), "\")");
  }

  absl::Status Missing(absl::string_view field) const {
    return absl::InvalidArgumentError(absl::StrCat("the row has no ", NameOf(field)));
  }

  absl::StatusOr<std::string> TakeText(absl::string_view field) {
    Json value = Take(field);
    if (value.is_null()) return Missing(field);
    if (!value.is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat(NameOf(field), " is ", KindOfJson(value), "; it must be a string"));
    }
    std::string text = std::move(value.get_ref<std::string&>());
    if (text.empty()) return absl::InvalidArgumentError(absl::StrCat(NameOf(field), " is empty"));
    return text;
  }

  // None: absent, null or empty.
  absl::StatusOr<std::optional<std::string>> TakeOptionalText(absl::string_view field) {
    Json value = Take(field);
    if (value.is_null()) return std::optional<std::string>();
    if (!value.is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat(NameOf(field), " is ", KindOfJson(value), "; it must be a string"));
    }
    return std::optional<std::string>(std::move(value.get_ref<std::string&>()));
  }

  absl::Status ReadId() {
    const Json id = Take("id");
    if (id.is_null()) return absl::OkStatus();
    if (!id.is_string() && !id.is_number())
      return absl::InvalidArgumentError("id is neither a string nor a number");
    row_.id = id.dump();
    return absl::OkStatus();
  }

  absl::Status ReadTools() {
    Json tools = Take("tools");
    bool was_text = false;
    if (!tools.is_null()) {
      if (tools.is_string() && tools.get_ref<const std::string&>().empty()) return absl::OkStatus();
      VN_ASSIGN_OR_RETURN(tools, DecodeJsonText(std::move(tools), "tools", &was_text));
      if (was_text) AddRemark("tools are JSON text; read as JSON", &row_.remarks);
      if (tools.is_null()) return absl::OkStatus();
      if (!tools.is_array())
        return absl::InvalidArgumentError(
            absl::StrCat("tools is ", KindOfJson(tools), "; it must be an array"));
    } else {
      Json functions = Take("functions");
      if (functions.is_null()) return absl::OkStatus();
      VN_ASSIGN_OR_RETURN(functions, DecodeJsonText(std::move(functions), "functions", &was_text));
      if (!functions.is_array()) return absl::InvalidArgumentError("functions is not an array");
      tools = Json::array();
      for (Json& function : functions)
        tools.push_back(Json{{"type", "function"}, {"function", std::move(function)}});
      AddRemark("functions are read as tools", &row_.remarks);
    }
    VN_RETURN_IF_ERROR(CheckTools(tools));
    // No tools are no tools, however it is written.
    if (!tools.empty()) row_.tools = std::move(tools);
    return absl::OkStatus();
  }

  // A system prompt in a column of its own goes before the messages.
  absl::Status ReadSystem() {
    VN_ASSIGN_OR_RETURN(std::optional<std::string> system, TakeOptionalText("system"));
    if (!system.has_value()) return absl::OkStatus();
    const std::string first = row_.messages.empty() ? "" : row_.messages[0].role;
    if (first == "system" || first == "developer") {
      if (system->empty() || *system == row_.messages[0].content) return absl::OkStatus();
      return absl::InvalidArgumentError(absl::StrCat("the row has a system prompt in ", NameOf("system"),
                                                     " and another as its first message; keep one"));
    }
    row_.messages.insert(row_.messages.begin(), PlainMessage("system", *std::move(system)));
    return absl::OkStatus();
  }

  absl::Status ReadConversation(absl::string_view field) {
    row_.format = RowFormat::kMessages;
    Json list = Take(field);
    if (list.is_null()) return Missing(field);
    VN_ASSIGN_OR_RETURN(row_.messages, ParseMessages(std::move(list), field, &row_.remarks));
    VN_RETURN_IF_ERROR(CheckRoleOrder(row_.messages, field));
    VN_RETURN_IF_ERROR(ReadSystem());
    return ReadTools();
  }

  // [[question, answer], ...]
  absl::Status ReadHistory() {
    Json history = Take("history");
    if (history.is_null() || (history.is_string() && history.get_ref<const std::string&>().empty()))
      return absl::OkStatus();
    bool was_text = false;
    VN_ASSIGN_OR_RETURN(history, DecodeJsonText(std::move(history), "history", &was_text));
    if (!history.is_array())
      return absl::InvalidArgumentError(
          absl::StrCat("history is ", KindOfJson(history), "; it must be an array of [question, answer]"));
    for (size_t i = 0; i < history.size(); ++i) {
      Json& turn = history[i];
      if (!turn.is_array() || turn.size() != 2 || !turn[0].is_string() || !turn[1].is_string()) {
        return absl::InvalidArgumentError(absl::StrCat("history[", i, "] is not [question, answer]"));
      }
      row_.messages.push_back(PlainMessage("user", turn[0].get<std::string>()));
      row_.messages.push_back(PlainMessage("assistant", turn[1].get<std::string>()));
    }
    return absl::OkStatus();
  }

  absl::Status ReadAlpaca() {
    row_.format = RowFormat::kMessages;
    VN_RETURN_IF_ERROR(ReadHistory());
    VN_ASSIGN_OR_RETURN(std::string question, TakeText("instruction"));
    VN_ASSIGN_OR_RETURN(const std::optional<std::string> input, TakeOptionalText("input"));
    if (input.has_value() && !input->empty()) absl::StrAppend(&question, "\n\n", *input);
    row_.messages.push_back(PlainMessage("user", std::move(question)));
    VN_ASSIGN_OR_RETURN(std::string answer, TakeText("output"));
    row_.messages.push_back(PlainMessage("assistant", std::move(answer)));
    VN_ASSIGN_OR_RETURN(const std::optional<std::string> system, TakeOptionalText("system"));
    if (system.has_value() && !system->empty()) {
      row_.messages.insert(row_.messages.begin(), PlainMessage("system", *system));
    }
    return absl::OkStatus();
  }

  // Strings, or messages of which those of the completion are trained.
  absl::Status ReadPair() {
    if (!Holds("prompt") && !Holds("completion")) {
      row_.format = RowFormat::kPromptCompletion;
      VN_ASSIGN_OR_RETURN(row_.prompt, TakeText("prompt"));
      VN_ASSIGN_OR_RETURN(row_.completion, TakeText("completion"));
      for (const char* const field : {"tools", "functions"}) {
        if (!Take(field).is_null()) row_.unused_columns.emplace_back(ColumnOf(options_, field));
      }
      return absl::OkStatus();
    }
    row_.format = RowFormat::kMessages;
    for (const char* const field : {"prompt", "completion"}) {
      if (!Holds(field))
        return absl::InvalidArgumentError(
            absl::StrCat("prompt and completion are both strings or both messages; here ", field,
                         " is no array of messages"));
    }
    VN_ASSIGN_OR_RETURN(row_.messages, ParseMessages(Take("prompt"), "prompt", &row_.remarks));
    for (Message& message : row_.messages) message.weight = 0;  // given, not trained
    VN_ASSIGN_OR_RETURN(std::vector<Message> completion,
                        ParseMessages(Take("completion"), "completion", &row_.remarks));
    for (Message& message : completion) row_.messages.push_back(std::move(message));
    VN_RETURN_IF_ERROR(CheckRoleOrder(row_.messages, "prompt + completion"));
    return ReadTools();
  }

  // Whether a field holds an array: messages, not a string.
  bool Holds(absl::string_view field) const {
    const absl::string_view column = ColumnOf(options_, field);
    const auto it = column.empty() ? json_.end() : json_.find(std::string(column));
    return it != json_.end() && it->is_array();
  }

  absl::Status ReadPreference() {
    row_.format = RowFormat::kPreference;
    if (Holds("preferred_output")) return ReadOpenAiPreference();
    if (Holds("chosen") || Holds("rejected")) return ReadPreferenceMessages();
    VN_ASSIGN_OR_RETURN(std::optional<std::string> prompt, TakeOptionalText("prompt"));
    row_.prompt = std::move(prompt).value_or("");
    VN_ASSIGN_OR_RETURN(row_.chosen, TakeText("chosen"));
    VN_ASSIGN_OR_RETURN(row_.rejected, TakeText("rejected"));
    if (row_.chosen == row_.rejected)
      return absl::InvalidArgumentError("chosen and rejected are equal: the pair prefers nothing");
    return absl::OkStatus();
  }

  absl::Status ReadPreferenceMessages() {
    if (!Holds("chosen") || !Holds("rejected"))
      return absl::InvalidArgumentError("chosen and rejected are both strings or both messages");
    VN_ASSIGN_OR_RETURN(row_.chosen_messages, ParseMessages(Take("chosen"), "chosen", &row_.remarks));
    VN_ASSIGN_OR_RETURN(row_.rejected_messages, ParseMessages(Take("rejected"), "rejected", &row_.remarks));
    if (Holds("prompt")) {
      VN_ASSIGN_OR_RETURN(row_.messages, ParseMessages(Take("prompt"), "prompt", &row_.remarks));
    } else {
      VN_ASSIGN_OR_RETURN(std::optional<std::string> prompt, TakeOptionalText("prompt"));
      const bool whole = row_.chosen_messages[0].role != "assistant";
      // A prompt beside whole conversations repeats their first question.
      if (prompt.has_value() && !prompt->empty() && !whole)
        row_.messages.push_back(PlainMessage("user", *std::move(prompt)));
      if (whole) TakeSharedPrompt();
    }
    return FinishPreference();
  }

  // {"input": {"messages", "tools"?}, "preferred_output": [...], "non_preferred_output": [...]}
  absl::Status ReadOpenAiPreference() {
    Json input = Take("input");
    if (!input.is_object() || !input.contains("messages"))
      return absl::InvalidArgumentError("input is not {\"messages\": [...]}");
    VN_ASSIGN_OR_RETURN(row_.messages,
                        ParseMessages(std::move(input["messages"]), "input.messages", &row_.remarks));
    if (input.contains("tools")) json_["tools"] = std::move(input["tools"]);
    VN_ASSIGN_OR_RETURN(row_.chosen_messages,
                        ParseMessages(Take("preferred_output"), "preferred_output", &row_.remarks));
    VN_ASSIGN_OR_RETURN(row_.rejected_messages,
                        ParseMessages(Take("non_preferred_output"), "non_preferred_output", &row_.remarks));
    return FinishPreference();
  }

  // What both conversations start with is the prompt.
  void TakeSharedPrompt() {
    size_t shared = 0;
    while (shared < row_.chosen_messages.size() && shared < row_.rejected_messages.size() &&
           row_.chosen_messages[shared].object == row_.rejected_messages[shared].object) {
      ++shared;
    }
    const auto end = row_.chosen_messages.begin() + static_cast<std::ptrdiff_t>(shared);
    row_.messages.assign(std::make_move_iterator(row_.chosen_messages.begin()), std::make_move_iterator(end));
    row_.chosen_messages.erase(row_.chosen_messages.begin(), end);
    row_.rejected_messages.erase(row_.rejected_messages.begin(),
                                 row_.rejected_messages.begin() + static_cast<std::ptrdiff_t>(shared));
  }

  absl::Status FinishPreference() {
    const auto objects = [](const std::vector<Message>& messages) {
      Json all = Json::array();
      for (const Message& message : messages) all.push_back(message.object);
      return all;
    };
    if (objects(row_.chosen_messages) == objects(row_.rejected_messages)) {
      return absl::InvalidArgumentError("chosen and rejected are equal: the pair prefers nothing");
    }
    for (const auto& [messages, name] : {std::pair{&row_.chosen_messages, "prompt + chosen"},
                                         std::pair{&row_.rejected_messages, "prompt + rejected"}}) {
      if (messages->empty())
        return absl::InvalidArgumentError(
            absl::StrCat(name, ": no answer is left behind what both have in common"));
      std::vector<Message> whole = row_.messages;
      whole.insert(whole.end(), messages->begin(), messages->end());
      VN_RETURN_IF_ERROR(CheckRoleOrder(whole, name));
      if (whole.back().role != "assistant")
        return absl::InvalidArgumentError(absl::StrCat(name, " does not end with an assistant message"));
    }
    VN_RETURN_IF_ERROR(ReadSystem());
    return ReadTools();
  }

  Json json_;
  const RowOptions& options_;
  Row row_;
};

nlohmann::json ObjectsOf(const std::vector<Message>& messages) {
  nlohmann::json all = nlohmann::json::array();
  for (const Message& message : messages) all.push_back(nlohmann::json(message.object));
  return all;
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
    case RowFormat::kPreference:
      return "preference";
  }
  return "unknown";
}

std::string Row::ContentDigest() const {
  nlohmann::json content;  // sorted keys
  switch (format) {
    case RowFormat::kMessages:
      content["messages"] = ObjectsOf(messages);
      if (!tools.is_null()) content["tools"] = nlohmann::json(tools);
      break;
    case RowFormat::kPromptCompletion:
      content = {{"prompt", prompt}, {"completion", completion}};
      break;
    case RowFormat::kText:
      content = {{"text", text}};
      break;
    case RowFormat::kPreference:
      content = {{"prompt", prompt}, {"chosen", chosen}, {"rejected", rejected}};
      content["messages"] = ObjectsOf(messages);
      content["chosen_messages"] = ObjectsOf(chosen_messages);
      content["rejected_messages"] = ObjectsOf(rejected_messages);
      if (!tools.is_null()) content["tools"] = nlohmann::json(tools);
      break;
  }
  return Sha256Hex(content.dump());
}

absl::StatusOr<Row> ParseRow(absl::string_view line, const RowOptions& options) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  VN_ASSIGN_OR_RETURN(Json json, ParseBoundedJson(line));
  if (!json.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the line is ", KindOfJson(json), "; a row is one JSON object"));
  }
  return RowReader(std::move(json), options).Read();
}

std::string FormNote(RowForm form) {
  absl::string_view becomes;
  switch (form) {
    case RowForm::kMessages:
      becomes = "rendered by the chat template";
      break;
    case RowForm::kShareGpt:
      becomes = "read as messages (human is user, gpt is assistant), rendered by the chat template";
      break;
    case RowForm::kPreference:
      becomes = "validated only: training on preferences comes in a later version";
      break;
    case RowForm::kAlpaca:
      becomes =
          "each is a question (instruction, a blank line, input) and its answer, rendered by the chat "
          "template";
      break;
    case RowForm::kPromptCompletion:
      becomes = "strings are joined as they are; messages are rendered by the chat template";
      break;
    case RowForm::kText:
      becomes = "trained as they are";
      break;
  }
  return absl::StrCat("rows are ", RowFormName(form), ", told by ", RowFormSign(form), ": ", becomes);
}

}  // namespace vernier::data
