// The filters that look at the elements of a sequence. Each takes the value, its arguments and the budget.
#pragma once

#include "absl/status/statusor.h"
#include "worker/data/text/jinja_call.h"
#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {

absl::StatusOr<Value> FilterBatch(const Value& value, const CallArguments& arguments, Budget& budget);
absl::StatusOr<Value> FilterDictSort(const Value& value, const CallArguments& arguments, Budget& budget);
absl::StatusOr<Value> FilterFirst(const Value& value, const CallArguments& arguments, Budget& budget);
absl::StatusOr<Value> FilterItems(const Value& value, const CallArguments& arguments, Budget& budget);
absl::StatusOr<Value> FilterJoin(const Value& value, const CallArguments& arguments, Budget& budget);
absl::StatusOr<Value> FilterLast(const Value& value, const CallArguments& arguments, Budget& budget);
absl::StatusOr<Value> FilterList(const Value& value, const CallArguments& arguments, Budget& budget);
absl::StatusOr<Value> FilterMap(const Value& value, const CallArguments& arguments, Budget& budget);
absl::StatusOr<Value> FilterMax(const Value& value, const CallArguments& arguments, Budget& budget);
absl::StatusOr<Value> FilterMin(const Value& value, const CallArguments& arguments, Budget& budget);
absl::StatusOr<Value> FilterReject(const Value& value, const CallArguments& arguments, Budget& budget);
absl::StatusOr<Value> FilterRejectAttr(const Value& value, const CallArguments& arguments, Budget& budget);
absl::StatusOr<Value> FilterReverse(const Value& value, const CallArguments& arguments, Budget& budget);
absl::StatusOr<Value> FilterSelect(const Value& value, const CallArguments& arguments, Budget& budget);
absl::StatusOr<Value> FilterSelectAttr(const Value& value, const CallArguments& arguments, Budget& budget);
absl::StatusOr<Value> FilterSlice(const Value& value, const CallArguments& arguments, Budget& budget);
absl::StatusOr<Value> FilterSort(const Value& value, const CallArguments& arguments, Budget& budget);
absl::StatusOr<Value> FilterSum(const Value& value, const CallArguments& arguments, Budget& budget);
absl::StatusOr<Value> FilterUnique(const Value& value, const CallArguments& arguments, Budget& budget);

}  // namespace vernier::data::jinja
