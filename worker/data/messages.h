// Conversations as rows have them, checked: OpenAI's messages and ShareGPT's turns.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/rows.h"

namespace vernier::data {

// "a string", "an array", "null": for messages.
absl::string_view KindOfJson(const Json& value);

// `value` as it is, or parsed when it is the text of JSON (columns of CSV and Parquet often are): `*was_text`
// says which. InvalidArgument, starting with `where`: it is text, and not that of JSON.
absl::StatusOr<Json> DecodeJsonText(Json value, absl::string_view where, bool* was_text);

// Adds a remark that is not there yet.
void AddRemark(std::string remark, std::vector<std::string>* remarks);

// Every message of `list`, an array of {role, content} or of {from, value} (or the text of one). Null fields
// but `content` go, parts of content are joined, tool calls are checked and their arguments made objects, a
// legacy function_call becomes a tool call. The order of roles is not judged. InvalidArgument: the reason,
// naming `where`[i] and what to change. `remarks` gets what was changed.
absl::StatusOr<std::vector<Message>> ParseMessages(Json list, absl::string_view where,
                                                   std::vector<std::string>* remarks);

// A message of role and text.
Message PlainMessage(absl::string_view role, std::string content);

// InvalidArgument: the roles are in an order no conversation has.
absl::Status CheckRoleOrder(const std::vector<Message>& messages, absl::string_view where);

// Whether an assistant message calls tools.
bool CallsTools(const Message& message);

}  // namespace vernier::data
