// Arithmetic and concatenation, as Python has them.
#pragma once

#include "absl/status/statusor.h"
#include "worker/data/text/jinja_ast.h"
#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {

// InvalidArgument: types that the operator does not take, an undefined operand, a result outside 64 bits, a
// division by zero, a result over a limit.
absl::StatusOr<Value> Apply(BinaryOperator operation, const Value& a, const Value& b, Budget& budget);
absl::StatusOr<Value> Negate(const Value& value, bool negative);
// As Markup escapes text.
std::string EscapeHtml(absl::string_view text);

}  // namespace vernier::data::jinja
