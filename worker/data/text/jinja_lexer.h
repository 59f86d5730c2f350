// Template text -> tokens, as Jinja's lexer gives them with trim_blocks and lstrip_blocks on.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace vernier::data::jinja {

struct Token {
  enum class Kind {
    kData,
    kVariableBegin,
    kVariableEnd,
    kBlockBegin,
    kBlockEnd,
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd
  };
  Kind kind = Kind::kEnd;
  std::string text;  // data; a name; a string's value; an operator
  int64_t integer = 0;
  double number = 0;
  int line = 1;
};

// Ends with kEnd. `text` is UTF-8. InvalidArgument: "line 3: ...".
absl::StatusOr<std::vector<Token>> Tokenize(absl::string_view text);

// An error that names a line of the template.
absl::Status ErrorAt(int line, absl::string_view reason);

}  // namespace vernier::data::jinja
