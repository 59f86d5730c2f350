// Tool schemas and tool calls of rows, checked.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "worker/data/rows.h"

namespace vernier::data {

// `tools` of a row: an array of {"type": "function", "function": {...}} or of bare {"name", "parameters"}.
// InvalidArgument: something is no tool, or its parameters are no JSON Schema of an object; names the place.
absl::Status CheckTools(const Json& tools);

// Checks the calls of one assistant message and brings them to one form in place: fields that are null go,
// `arguments` become an object, whether they were one or the JSON text of one ("" = no arguments). `where` is
// the message's name. InvalidArgument: what is wrong with which call.
absl::Status NormaliseToolCalls(Json& calls, absl::string_view where, std::vector<std::string>* remarks);

}  // namespace vernier::data
