// Methods of values: Python's str, dict and list, and those of `loop`.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/jinja_call.h"
#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {

// The method `name` bound to `object`; none when its type has no such method. Those that would change a list
// or a dict come back undefined: the sandbox forbids them.
std::optional<Value> MethodOf(const Value& object, absl::string_view name);
absl::StatusOr<Value> CallMethod(const Value& object, absl::string_view name, const CallArguments& arguments,
                                 Budget& budget);

}  // namespace vernier::data::jinja
