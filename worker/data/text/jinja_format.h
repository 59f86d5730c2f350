// str.format and the % operator of strings.
#pragma once

#include "absl/status/statusor.h"
#include "worker/data/text/jinja_call.h"
#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {

// "{} {0} {name} {0!r} {:>8.2f}".format(...). Fields that look into their argument ("{0.x}") are not
// supported.
absl::StatusOr<Value> FormatBraces(const Value& pattern, const CallArguments& arguments, Budget& budget);
// "%s %d %5.1f %%" % arguments: a tuple, a dict for "%(name)s", or one value.
absl::StatusOr<Value> FormatPercent(const Value& pattern, const Value& arguments, Budget& budget);

}  // namespace vernier::data::jinja
