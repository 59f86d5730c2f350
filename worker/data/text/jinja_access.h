// a.b, a[b] and a[b:c:d], as Jinja's sandbox answers them.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {

// Both give an undefined value for what is not there; InvalidArgument: `object` itself is undefined.
absl::StatusOr<Value> GetAttribute(const Value& object, absl::string_view name);
absl::StatusOr<Value> GetItem(const Value& object, const Value& key, Budget& budget);
// Bounds that are None are open. InvalidArgument: `object` has no slices, a step of 0.
absl::StatusOr<Value> GetSlice(const Value& object, const Value& start, const Value& stop, const Value& step,
                               Budget& budget);

}  // namespace vernier::data::jinja
