// Template text -> syntax tree.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/jinja_ast.h"

namespace vernier::data::jinja {

// InvalidArgument, with the line: a syntax error, a filter or test that does not exist, a construct that chat
// templates have no use for (include, extends, block ...), nested too deep.
absl::StatusOr<Template> ParseTemplate(absl::string_view text);

}  // namespace vernier::data::jinja
