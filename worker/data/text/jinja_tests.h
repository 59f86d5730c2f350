// `x is name(...)`: the tests of Jinja.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/jinja_call.h"
#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {

// InvalidArgument: no such test; the message names the nearest.
absl::Status CheckTestName(absl::string_view name);
absl::StatusOr<bool> ApplyTest(absl::string_view name, const Value& value, const CallArguments& arguments,
                               Budget& budget);

}  // namespace vernier::data::jinja
