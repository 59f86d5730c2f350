// `x | name(...)`: the filters of Jinja, `tojson` as transformers has it.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/jinja_call.h"
#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {

// InvalidArgument: no such filter (the message names the nearest), or one that chat templates have no use
// for.
absl::Status CheckFilterName(absl::string_view name);
absl::StatusOr<Value> ApplyFilter(absl::string_view name, const Value& value, const CallArguments& arguments,
                                  Budget& budget);

}  // namespace vernier::data::jinja
