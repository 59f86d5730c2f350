// json.dumps of template values, with the options that the `tojson` filter of transformers passes on.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {

struct JsonStyle {
  bool ensure_ascii = false;
  std::optional<std::string> indent;  // of one level; none = one line
  std::optional<std::string> item_separator, key_separator;
  bool sort_keys = false;
};

// InvalidArgument: a value that JSON does not have.
absl::StatusOr<std::string> ToJson(const Value& value, const JsonStyle& style, Budget& budget);

}  // namespace vernier::data::jinja
