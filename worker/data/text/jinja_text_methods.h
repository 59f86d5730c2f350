// Methods of Python's str.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "worker/data/text/jinja_call.h"
#include "worker/data/text/jinja_value.h"

namespace vernier::data::jinja {

// Whether str has a method of this name; some are not for templates, which calling them says.
bool IsTextMethod(absl::string_view name);
// `text` is a string.
absl::StatusOr<Value> CallTextMethod(const Value& text, absl::string_view name,
                                     const CallArguments& arguments, Budget& budget);

// str.split with `separator` none = runs of white space.
absl::StatusOr<Value> SplitText(absl::string_view text, const std::optional<std::string>& separator,
                                int64_t max_splits, Budget& budget);
absl::StatusOr<std::vector<absl::string_view>> SplitLines(absl::string_view text, bool keep_ends,
                                                          Budget& budget);
// `count` < 0: all.
absl::StatusOr<std::string> ReplaceText(absl::string_view text, absl::string_view from, absl::string_view to,
                                        int64_t count, Budget& budget);

}  // namespace vernier::data::jinja
