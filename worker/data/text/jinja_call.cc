#include "worker/data/text/jinja_call.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/text.h"

namespace vernier::data::jinja {

absl::StatusOr<BoundArguments> BoundArguments::Bind(absl::string_view function,
                                                    const CallArguments& arguments,
                                                    std::initializer_list<absl::string_view> parameters,
                                                    size_t required) {
  BoundArguments bound;
  bound.function_ = std::string(function);
  for (const absl::string_view name : parameters) bound.names_.emplace_back(name);
  bound.values_.resize(parameters.size());
  if (arguments.positional.size() > parameters.size()) {
    return absl::InvalidArgumentError(absl::StrCat(function, "() takes ", parameters.size(),
                                                   " arguments, got ", arguments.positional.size()));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) bound.values_[i] = arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto it = std::find(bound.names_.begin(), bound.names_.end(), name);
    if (it == bound.names_.end()) {
      return absl::InvalidArgumentError(absl::StrCat(function, "() has no argument '", Excerpt(name, 40), "'",
                                                     DidYouMean(name, bound.names_)));
    }
    std::optional<Value>& place = bound.values_[static_cast<size_t>(it - bound.names_.begin())];
    if (place.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat(function, "() got the argument '", name, "' twice"));
    }
    place = value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (!bound.values_[i].has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat(function, "() needs the argument '", bound.names_[i], "'"));
    }
  }
  return bound;
}

absl::StatusOr<int64_t> BoundArguments::IntOr(size_t i, int64_t otherwise) const {
  if (!HasValue(i)) return otherwise;
  if (Get(i).is_integral()) return Get(i).integral();
  return absl::InvalidArgumentError(
      absl::StrCat(function_, "(): '", names_[i], "' must be an int, not ", Get(i).TypeName()));
}

absl::StatusOr<std::string> BoundArguments::TextOr(size_t i, absl::string_view otherwise) const {
  if (!HasValue(i)) return std::string(otherwise);
  if (Get(i).is_string()) return Get(i).text();
  return absl::InvalidArgumentError(
      absl::StrCat(function_, "(): '", names_[i], "' must be a str, not ", Get(i).TypeName()));
}

}  // namespace vernier::data::jinja
