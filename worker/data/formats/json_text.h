// Writing JSON from bytes, without a tree.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace vernier::data {

// Appends `text` (UTF-8) as a JSON string with its quotes.
void AppendJsonString(absl::string_view text, std::string* out);

}  // namespace vernier::data
