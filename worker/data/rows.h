// One row of a dataset: a JSON object in one of the forms of formats/row_forms.h, checked and brought to what
// training knows: a conversation, a prompt with its completion, a text, or a pair of answers.
//   messages           {"messages": [{"role", "content", "weight"?, "name"?, "tool_calls"?}], "tools"?,
//   "system"?} sharegpt           {"conversations": [{"from", "value"}], "tools"?, "system"?} preference
//   {"prompt"?, "chosen", "rejected"}, each a string or messages; or OpenAI's "preferred_output" alpaca
//   {"instruction", "input"?, "output", "system"?, "history"?} prompt_completion  {"prompt", "completion"}:
//   strings, or messages text               {"text"}
// A row with the columns of several forms counts as the first named above. An `id` (string or number) is
// optional and unique.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "worker/data/formats/row_forms.h"

namespace vernier::data {

// Keeps the order of keys, which templates show to the model (tool schemas, arguments of calls).
using Json = nlohmann::ordered_json;

// Limits on what a row may be.
inline constexpr int64_t kMaxRowBytes = int64_t{8} << 20;
inline constexpr int kMaxJsonDepth = 64;
inline constexpr int kMaxJsonKeys = 1024;       // in one object
inline constexpr int kMaxJsonValues = 1 << 20;  // in one row
inline constexpr int kMaxMessages = 4096;

// What a row becomes.
enum class RowFormat { kMessages, kPromptCompletion, kText, kPreference };
// "messages", "prompt_completion", "text", "preference".
absl::string_view RowFormatName(RowFormat format);

struct Message {
  std::string role;
  std::string content;
  std::string name;
  double weight = 1.0;  // of its tokens in the loss; assistant only
  // What the template sees: as given, but `content` parts are joined to one string, arguments of tool calls
  // are objects, and fields that are null (`content` apart) are gone.
  Json object;
};

struct Row {
  RowFormat format = RowFormat::kText;
  RowForm form = RowForm::kText;
  std::vector<Message> messages;   // kMessages; kPreference of messages: the prompt
  Json tools;                      // null when absent
  std::string prompt, completion;  // kPromptCompletion
  std::string text;                // kText
  std::optional<std::string> id;   // as JSON, so "1" and 1 differ
  std::vector<std::string> unused_columns;
  // What reading it changed, for people ("tools are JSON text; read as JSON"); few, in the order found.
  std::vector<std::string> remarks;

  // kPreference: either as messages after `messages`, or as texts after `prompt`.
  std::vector<Message> chosen_messages, rejected_messages;
  std::string chosen, rejected;

  // SHA-256 of what the model can see of the row (no id, no unused columns, no layout of the JSON).
  std::string ContentDigest() const;
};

// Parses JSON within the limits above. InvalidArgument: "broken JSON at column 12: ...", a duplicate key, an
// integer of more than 64 bits, a limit.
absl::StatusOr<Json> ParseBoundedJson(absl::string_view text);

// Parses and checks one line (no line break; a final CR is ignored). InvalidArgument: the reason, without the
// line number. Thread-safe.
absl::StatusOr<Row> ParseRow(absl::string_view line, const RowOptions& options = {});

// One sentence about what rows of this form become: "rows are alpaca (instruction and output): ...".
std::string FormNote(RowForm form);

}  // namespace vernier::data
